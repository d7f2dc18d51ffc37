"""The share of its CCC that a system keeps within a bit-rate budget, at operating points chosen on another split."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lowbeam.evaluate.curve.envelope import Point, agreement, best_within, same_point, uncoded

RATES_KBPS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class BudgetShare:
    """The result for a budget of `kbps`: the point `chosen` on valid and, at that point on test, the rate in kbit/s,
    the CCC (valence, arousal), and their mean as a share of the mean CCC without a codec."""

    kbps: float
    chosen: Point
    rate_kbps: float
    ccc: tuple[float, float]
    share: float


def budget_shares(
    test: dict[str, Any], valid: dict[str, Any], system: str, rate: str, kbps: tuple[float, ...] = RATES_KBPS
) -> list[BudgetShare]:
    """Results of `system` on the sweep `test` for each budget of `kbps`, at the point with the highest CCC within the
    budget on the sweep `valid`. `rate`, a key of `envelope.RATE_NAMES`, is what the budget counts. Budgets below the
    cheapest point are left out. Raises `UsageError` where a chosen point was not measured on test."""
    found = []
    for budget in kbps:
        chosen = best_within(valid["points"], system, rate, 1000 * budget)
        if chosen is None:
            continue
        point = same_point(test["points"], chosen)
        values = (agreement(point, system, "valence"), agreement(point, system, "arousal"))
        share = float(np.mean(values)) / uncoded(test, system)
        found.append(BudgetShare(budget, chosen, point[rate] / 1000, values, share))
    return found
