"""How well scores tell pairs of one person from pairs of two: area under the ROC curve and equal-error rate, with
bootstrap intervals over people."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from research.compact.people import Pairs, Stills

DRAWS = 1000
PERCENTILES = (2.5, 97.5)
DIGITS = 4

Floats = NDArray[np.float64]


def auc_and_eer(scores: Floats, same: NDArray[np.bool_], weights: Floats | None = None) -> tuple[float, float]:
    """The area under the ROC curve, in [0, 1], of `scores` (n,), larger for pairs that are of the `same` person, with
    ties counted half; and the equal-error rate: the share of errors at the threshold at which as many pairs of one
    person are rejected as pairs of two are accepted. `weights` (n,) count pairs several times."""
    given = np.ones(len(scores)) if weights is None else weights
    values, place = np.unique(scores, return_inverse=True)
    ones, twos = (np.bincount(place, given * chosen, len(values)) for chosen in (same, ~same))
    accepted = [np.concatenate([[0.0], np.cumsum(counts[::-1]) / counts.sum()]) for counts in (ones, twos)]
    hits, false_alarms = accepted  # from the strictest threshold to the loosest
    area = float(np.trapezoid(hits, false_alarms))
    excess = false_alarms - (1 - hits)  # rises from -1 to 1
    return area, float(np.interp(0.0, excess, false_alarms))


def verification(scores: Floats, pairs: Pairs, stills: Stills, seed: int) -> dict[str, Any]:
    """AUC and equal-error rate of the `scores` (n,) of `pairs`, with 95 % intervals from `DRAWS` bootstrap samples of
    people: a pair counts as often as the people in it were drawn. Samples without any pair of one person, or of two,
    are left out."""
    people, number = np.unique(stills.person, return_inverse=True)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(DRAWS):
        drawn = np.bincount(rng.integers(len(people), size=len(people)), minlength=len(people)).astype(np.float64)
        ones, others = drawn[number[pairs.first]], drawn[number[pairs.second]]
        weights = np.where(pairs.same, ones, ones * others)
        if weights[pairs.same].any() and weights[~pairs.same].any():
            found.append(auc_and_eer(scores, pairs.same, weights))
    intervals = np.percentile(np.array(found), PERCENTILES, axis=0).T
    auc, eer = auc_and_eer(scores, pairs.same)
    return {
        "auc": round(auc, DIGITS), "auc_95": intervals[0].round(DIGITS).tolist(),
        "eer": round(eer, DIGITS), "eer_95": intervals[1].round(DIGITS).tolist(),
    }  # fmt: skip
