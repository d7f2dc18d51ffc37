"""The bytes that senders counted against those that left their interfaces: ``python -m benchmarks.link.accounting``.

Reads the results of `benchmarks.link.rates` and writes ``benchmarks/results/link-accounting.json``.
"""

import json

from benchmarks.link.trial import RESULTS, save_results


def main() -> None:
    """Compare, and write the results."""
    rows = json.loads((RESULTS / "link-rates.json").read_text())["real"]
    points = [
        {name: row[name] for name in ("kbps", "loss_percent", "sender_bytes", "interface_bytes")}
        | {"difference_percent": round(100 * (row["sender_bytes"] / row["interface_bytes"] - 1), 2)}
        for row in rows
    ]
    most = max((abs(one["difference_percent"]) for one in points), default=0.0)
    save_results("link-accounting", {"largest_difference_percent": most, "points": points})


if __name__ == "__main__":
    main()
