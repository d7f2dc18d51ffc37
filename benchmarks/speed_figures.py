"""Tables of speed, memory and the demo, for docs/speed.md."""

from typing import Any

from lowbeam.evaluate.table import markdown_table


def speed_table(speed: dict[str, Any]) -> str:
    """Frames a second of the street's halves on one core."""
    rows = []
    for name, row in speed["street"].items():
        if isinstance(row, dict):
            shares = "; ".join(f"{stage} {share:.0%}" for stage, share in row.get("shares", {}).items())
            rate = f"{row['frames_per_s']:,.0f} frames/s, {row['times_real_time']:,.0f}× real time"
            rows.append([name, rate, shares])
    return markdown_table([speed["machine"], "median", "of which"], rows)


def memory_table(peaks: dict[str, dict[str, float]]) -> str:
    """Peak memory for a clip and for one ten times as long."""
    headings = ["peak memory", "24 s", "240 s", "ratio"]
    rows = [
        [name, *(f"{v:.0f} MiB" for k, v in row.items() if k != "ratio"), f"{row['ratio']:.2f}"]
        for name, row in peaks.items()
    ]
    return markdown_table(headings, rows)


def demo_table(results: list[dict[str, Any]]) -> str:
    """The demo's budgets."""
    rows = [
        [
            f"{r['budget_kbps']} kbit/s", r["point"], f"{r['faces_per_s']:.1f}", f"{r['wire_bps'] / 1000:.2f}",
            *(" / ".join(f"{value:.3f}" for value in r[f"{how}_ccc"]) for how in ("held", "smooth")),
        ]
        for r in results
    ]  # fmt: skip
    headings = ["budget", "operating point", "faces or packets/s", "kbit/s on the wire", "CCC held", "CCC smoothed"]
    return markdown_table(headings, rows)
