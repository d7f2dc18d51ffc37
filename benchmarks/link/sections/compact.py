"""What estimates and features keep over a live link."""

from typing import Any

from benchmarks.link.sections.table import ccc_text, table


def compact(found: dict[str, Any]) -> str:
    rows = [
        [
            one["codec"], f"{one['kbps']:g}", f"{one['loss_percent']:g}", one["wire_kbps"], one["packets"],
            one["first_s"], one["delay_p50_s"], ccc_text(one["live_ccc"]["mean"]), ccc_text(one["end_ccc"]["mean"]),
            "all" if one["is_stored"] else "not all",
        ]
        for one in sorted(found["real"], key=lambda one: (one["codec"], one["kbps"], one["loss_percent"]))
    ]  # fmt: skip
    heads = [
        "codec", "kbit/s", "loss %", "on the wire, kbit/s", "packets", "first packet, s", "delay p50, s", "live",
        "in the end", "stored",
    ]  # fmt: skip
    return f"""## Estimates and features

The same clip of real people with [other codecs](compact.md), two trials at a time. A packet has the samples of a second
or more; its delay is that of the first of them. *Live* is the estimate of the newest sample that had arrived, so that
much of what is missing is delay (see above).

{table(heads, rows)}

`python -m benchmarks.link.compact FOLDER`, `benchmarks/results/link-compact.json`
"""
