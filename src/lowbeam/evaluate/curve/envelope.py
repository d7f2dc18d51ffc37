"""CCC against bit rate: the Pareto front of a sweep, the best point within a rate, and BD-rates."""

from typing import Any

import numpy as np

from lowbeam.errors import UsageError
from lowbeam.metrics import AFFECT_NAMES

RATE_NAMES = {
    "payload_bps": "video payload", "container_bps": "face stream, container and boxes",
    "rtp_bps": "on the wire, RTP/UDP/IPv4", "tls_bps": "on the wire, TLS/TCP in 1 s batches",
}  # fmt: skip
Point = dict[str, Any]
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
    """Bjøntegaard's delta of the rate, in percent, between two Pareto fronts (points by rising rate): negative if
    `other` needs less for the same CCC. None if a front has fewer than `MIN_CURVE` points, or the fronts share less
    than `MIN_SHARED` of the CCC range of either."""
    from bjontegaard import bd_rate as delta

    if min(len(anchor), len(other)) < MIN_CURVE:
        return None
    rates = [np.array([p[rate] for p in curve]) for curve in (anchor, other)]
    levels = [
        np.array([agreement(p, name) for p in curve]) for curve, name in ((anchor, anchor_system), (other, system))
    ]
    shared = min(levels[0].max(), levels[1].max()) - max(levels[0].min(), levels[1].min())
    if shared < MIN_SHARED * min(np.ptp(levels[0]), np.ptp(levels[1])):
        return None
    return float(
        delta(
            rates[0], levels[0], rates[1], levels[1], method="pchip", require_matching_points=False, min_overlap=0,
        )
    )  # fmt: skip
