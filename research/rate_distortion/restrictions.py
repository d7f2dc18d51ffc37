"""What downsampling and lower frame rates gain: the best point within a budget, against the best restricted points."""

from dataclasses import dataclass
from typing import Any

from lowbeam.evaluate.curve.envelope import Point, agreement, best_within
from lowbeam.scale import FACE_SIDE
from research.rate_distortion.budget_shares import RATES_KBPS


@dataclass(frozen=True)
class RestrictedBest:
    """Within a budget of `kbps`: the `best` point and its CCC (`any_point`), the highest CCC at 96 px (`full_size`) and
    at the highest frame rate (`full_rate`); None where no such point is within the budget."""

    kbps: float
    best: Point
    any_point: float
    full_size: float | None
    full_rate: float | None


def restricted_bests(
    test: dict[str, Any], system: str, rate: str, kbps: tuple[float, ...] = RATES_KBPS
) -> list[RestrictedBest]:
    """One result for each budget of `kbps` that a point of the sweep `test` is within; `rate`, a key of
    `envelope.RATE_NAMES`, is what the budget counts."""
    points = test["points"]
    highest_fps = max(point["fps"] for point in points)
    full_size = [point for point in points if point["side"] == FACE_SIDE]
    full_rate = [point for point in points if point["fps"] == highest_fps]

    def ccc_of(part: list[Point], most_bps: float) -> float | None:
        point = best_within(part, system, rate, most_bps)
        return None if point is None else agreement(point, system)

    found = []
    for budget in kbps:
        best = best_within(points, system, rate, 1000 * budget)
        if best is not None:
            restricted = (ccc_of(part, 1000 * budget) for part in (full_size, full_rate))
            found.append(RestrictedBest(budget, best, agreement(best, system), *restricted))
    return found
