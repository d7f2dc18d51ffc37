"""Agreement with the labels at every frame, from estimates that arrive less often."""

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.labelled import Track
from lowbeam.evaluate.curve.run import RunResult
from lowbeam.evaluate.curve.systems import Affect
from lowbeam.metrics import AFFECT_NAMES, cc, ccc, rmse

EARLY_S = 0.002  # faces' times are rounded to milliseconds
DIGITS = 4


def held(time_s: NDArray[np.float64], readings: Affect, at_s: NDArray[np.float64]) -> Affect:
    """Zero-order hold: for each of `at_s` (m,), the latest of `readings` (n, 2) at rising `time_s` (n,), all times in
    seconds; before the first reading, the first. Returns (m, 2)."""
    return readings[np.searchsorted(time_s, at_s + EARLY_S, side="right").clip(1) - 1]


def score(results: list[RunResult], tracks: list[Track], system: str) -> dict[str, dict[str, float]] | None:
    """RMSE, CC and CCC of valence and arousal over all labelled frames of all recordings, whether they were sent or
    not; None if the `system` has no estimates for them."""
    if any(system not in result.readings for result in results):
        return None
    pairs = zip(results, tracks, strict=True)
    known = np.concatenate([held(r.time_s, r.readings[system], track.time_s) for r, track in pairs])
    truth = np.concatenate([track.affect for track in tracks])
    return {
        name: {
            "rmse": round(rmse(known[:, i], truth[:, i]), DIGITS), "cc": round(cc(known[:, i], truth[:, i]), DIGITS),
            "ccc": round(ccc(known[:, i], truth[:, i]), DIGITS),
        }
        for i, name in enumerate(AFFECT_NAMES)
    }  # fmt: skip
