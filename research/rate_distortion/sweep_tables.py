"""Tables in Markdown that show a sweep of `lowbeam curve`."""

from typing import Any

import numpy as np

from lowbeam.evaluate.curve.envelope import RATE_NAMES, agreement, best_within
from lowbeam.evaluate.table import markdown_table
from research.rate_distortion.budget_shares import RATES_KBPS, budget_shares
from research.rate_distortion.restrictions import restricted_bests

WIRES = ("rtp_bps", "tls_bps")


def point_name(point: dict[str, Any]) -> str:
    """An operating point in a few words."""
    return f"{point['codec']} {point['side']} px QP {point['qp']} {point['fps']:g} fps"


def budget_table(test: dict[str, Any], valid: dict[str, Any], system: str, rates: tuple[str, ...] = WIRES) -> str:
    """CCC of `system` within each budget on the wire, and its share of the CCC without a codec; points are chosen on
    the sweep `valid`."""
    rows = [
        [
            RATE_NAMES[rate].removeprefix("on the wire, "), f"{found.kbps:g} kbit/s", point_name(found.chosen),
            f"{found.rate_kbps:.2f}", f"{found.ccc[0]:.3f}", f"{found.ccc[1]:.3f}", f"{found.share:.0%}",
        ]
        for rate in rates
        for found in budget_shares(test, valid, system, rate)
    ]  # fmt: skip
    headings = ["on the wire", "within", "point chosen on valid", "kbit/s on test", "valence", "arousal", "share kept"]
    return markdown_table(headings, rows)


def envelope_table(test: dict[str, Any], system: str) -> str:
    """The best CCC of `system` within each budget, by codec and by what the budget counts."""
    rows = []
    for rate, name in RATE_NAMES.items():
        codecs = dict.fromkeys(p["codec"] for p in test["points"])
        for codec in codecs:
            points = [p for p in test["points"] if p["codec"] == codec]
            cheapest = min(points, key=lambda p: p[rate])
            cells = []
            for kbps in RATES_KBPS:
                best = best_within(points, system, rate, 1000 * kbps)
                cells.append("" if best is None else f"{agreement(best, system):.3f}")
            rows.append([name, codec, f"{cheapest[rate] / 1000:.2f}", *cells])
    headings = ["rate", "codec", "lowest, kbit/s", *(f"{kbps} kbit/s" for kbps in RATES_KBPS)]
    return markdown_table(headings, rows)


def what_wins_table(test: dict[str, Any], system: str) -> str:
    """The best point of `system` within each budget on the wire; the best CCC at full size, and at full frame rate."""
    rows = []
    for rate in WIRES:
        for found in restricted_bests(test, system, rate):
            rows.append([
                RATE_NAMES[rate].removeprefix("on the wire, "), f"{found.kbps:g} kbit/s", point_name(found.best),
                f"{found.any_point:.3f}", _or_none(found.full_size), _or_none(found.full_rate),
                f"{1 - found.best['payload_bps'] / found.best[rate]:.0%}",
            ])  # fmt: skip
    headings = [
        "on the wire", "within", "best point", "CCC", "CCC at full size", "CCC at full frame rate", "overhead",
    ]  # fmt: skip
    return markdown_table(headings, rows)


def _or_none(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def memory_table(test: dict[str, Any]) -> str:
    """CCC of the first two systems, a model with and without memory: the mean over all HEVC points, by frame rate."""
    names = list(test["systems"])[:2]
    rows = []
    for fps in sorted({p["fps"] for p in test["points"]}, reverse=True):
        points = [p for p in test["points"] if p["fps"] == fps and p["codec"] == "hevc"]
        means = [float(np.mean([agreement(p, name) for p in points])) for name in names]
        rows.append([f"{fps:g} fps", *(f"{mean:.3f}" for mean in means), f"{means[0] - means[1]:+.3f}"])
    return markdown_table(["frame rate", *names, "difference"], rows)


def missing_points(*results: dict[str, Any]) -> str:
    """A list of the points that could not be measured, with reasons; empty if there are none."""
    failed = [f"- {failure['point']}: {failure['reason']}" for found in results for failure in found["failed"]]
    return "\n\nPoints that could not be measured:\n\n" + "\n".join(failed) if failed else ""
