"""CCC against bit rate: the Pareto front of a sweep, the best point within a rate, and BD-rates."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lowbeam.errors import UsageError
from lowbeam.metrics import AFFECT_NAMES

RATE_NAMES = {
    "payload_bps": "video payload", "container_bps": "face stream, container and boxes",
    "rtp_bps": "on the wire, RTP/UDP/IPv4", "tls_bps": "on the wire, TLS/TCP in 1 s batches",
}  # fmt: skip
Point = dict[str, Any]
Curve = Sequence[tuple[float, float]]  # rates and qualities
MIN_CURVE = 4  # points that a BD-rate needs
MIN_SHARED = 0.25  # of the range of CCC


def agreement(point: Point, system: str, affect: str = "both") -> float:
    """CCC of `system` at a point: of valence, of arousal, or the mean of both."""
    found = point["scores"][system]
    names = AFFECT_NAMES if affect == "both" else (affect,)
    return float(np.mean([found[name]["ccc"] for name in names]))


def ccc_pareto_front(
    points: list[Point], system: str, rate: str, affect: str = "both", gain: float = 0.0
) -> list[Point]:
    """The Pareto front of `points` in rate and CCC, by rising `rate` (a key of `RATE_NAMES`): each point's CCC exceeds
    that of the point before it by more than `gain`. Points at which `system` was not measured are left out."""
    kept: list[Point] = []
    read = [point for point in points if system in point["scores"]]
    for point in sorted(read, key=lambda p: (p[rate], -agreement(p, system, affect))):
        if not kept or agreement(point, system, affect) > agreement(kept[-1], system, affect) + gain:
            kept.append(point)
    return kept


def best_within(points: list[Point], system: str, rate: str, most_bps: float, affect: str = "both") -> Point | None:
    """The point with the highest CCC at no more than `most_bps`; None if no point is within it."""
    found = ccc_pareto_front([p for p in points if p[rate] <= most_bps], system, rate, affect)
    return found[-1] if found else None


def same_point(points: list[Point], wanted: Point) -> Point:
    """The point with the same codec, scale, QP and frame rate. Raises `UsageError` if it was not measured."""
    keys = ("codec", "scale", "qp", "fps")
    for point in points:
        if all(point[key] == wanted[key] for key in keys):
            return point
    raise UsageError(
        "the sweeps differ: " + " ".join(f"{key} {wanted[key]}" for key in keys) + " is in one of them only"
    )


def uncoded(results: dict[str, Any], system: str, affect: str = "both") -> float:
    """CCC of `system` on full faces at the full frame rate, without a codec."""
    return agreement({"scores": {system: results["uncoded"][system]["1"]}}, system, affect)


def bd_rate(anchor: list[Point], other: list[Point], anchor_system: str, system: str, rate: str) -> float | None:
    """`bd_rate_of_curves` between the CCC of two Pareto fronts (points by rising rate)."""
    curves = (
        [(point[rate], agreement(point, name)) for point in points]
        for points, name in ((anchor, anchor_system), (other, system))
    )
    return bd_rate_of_curves(*curves)


def bd_rate_of_curves(anchor: Curve, other: Curve) -> float | None:
    """Bjøntegaard's delta of the rate, in percent, between two curves of (rate, quality), both rising: negative if
    `other` needs less for the same quality. None if a curve has fewer than `MIN_CURVE` points, or the curves share
    less than `MIN_SHARED` of the range of quality of either."""
    from bjontegaard import bd_rate as delta

    if min(len(anchor), len(other)) < MIN_CURVE:
        return None
    (rates, levels), (other_rates, other_levels) = (np.array(curve, np.float64).T for curve in (anchor, other))
    shared = min(levels.max(), other_levels.max()) - max(levels.min(), other_levels.min())
    if shared < MIN_SHARED * min(np.ptp(levels), np.ptp(other_levels)):
        return None
    return float(
        delta(rates, levels, other_rates, other_levels, method="pchip", require_matching_points=False, min_overlap=0)
    )
