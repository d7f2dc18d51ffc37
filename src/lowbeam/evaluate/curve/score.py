"""Agreement with the labels at every frame, from estimates that arrive less often."""

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.labelled import Track
from lowbeam.evaluate.curve.run import RunResult
from lowbeam.evaluate.curve.systems import Affect
from lowbeam.metrics import AFFECT_NAMES, cc, ccc, rmse
from lowbeam.trace import How, at_times

DIGITS = 4


def filled_in(time_s: NDArray[np.float64], readings: Affect, at_s: NDArray[np.float64], how: How) -> Affect:
    """Estimates at each of `at_s` (m,), from `readings` (n, 2) at rising `time_s` (n,), all times in seconds, filled in
    by `how` (see `lowbeam.Trace.resample`); before the first reading, the first. Returns float64 (m, 2)."""
    unknown = np.zeros(len(time_s))  # standard deviations, on which the values do not depend
    columns = readings.T.astype(np.float64)
    return np.stack([at_times(time_s, column, unknown, at_s, how)[0] for column in columns], 1)


def score(
    results: list[RunResult], tracks: list[Track], system: str, truths: list[Affect] | None = None
) -> dict[str, dict[str, float]] | None:
    """RMSE, CC (0 if the estimates are constant) and CCC of valence and arousal over all frames of all recordings,
    whether they were sent or not, with each estimate held until the next; also the CCC if they are joined by straight
    lines (``linear_ccc``) or smoothed (``smooth_ccc``). Compared with `truths`, by default the labels. None if the
    `system` has no estimates."""
    if any(system not in result.readings for result in results):
        return None
    pairs = list(zip(results, tracks, strict=True))
    truth = np.concatenate(truths if truths is not None else [track.affect for track in tracks])

    def found(how: How) -> Affect:
        return np.concatenate([filled_in(r.time_s, r.readings[system], track.time_s, how) for r, track in pairs])

    held, linear, smooth = found("hold"), found("linear"), found("smooth")
    return {
        name: {
            "rmse": round(rmse(held[:, i], truth[:, i]), DIGITS),
            "cc": round(float(np.nan_to_num(cc(held[:, i], truth[:, i]))), DIGITS),
            "ccc": round(ccc(held[:, i], truth[:, i]), DIGITS),
            "linear_ccc": round(ccc(linear[:, i], truth[:, i]), DIGITS),
            "smooth_ccc": round(ccc(smooth[:, i], truth[:, i]), DIGITS),
        }
        for i, name in enumerate(AFFECT_NAMES)
    }
