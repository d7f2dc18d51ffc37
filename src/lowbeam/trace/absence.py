"""Tells a face that was away from one of which nothing was sent."""

import numpy as np
from numpy.typing import NDArray

STEADY_S, STEADY_STEPS = 0.5, 2.5  # at regular times: an absence is longer than both this and so many usual steps
SPARSE_S, SPARSE_STEPS = 5.0, 5.0  # the same at irregular times, at which a sender sends what changed
IRREGULAR = 1.5  # usual steps that one step in ten exceeds where times are irregular


def longest_step_s(time_s: NDArray[np.float64]) -> float:
    """The step in seconds between the estimates of one face, at increasing `time_s` (n,), beyond which it was away."""
    steps_s = np.diff(time_s)
    if not len(steps_s):
        return SPARSE_S
    usual_s = float(np.median(steps_s))
    if np.quantile(steps_s, 0.9) > IRREGULAR * usual_s:
        return max(SPARSE_S, SPARSE_STEPS * usual_s)
    return max(STEADY_S, STEADY_STEPS * usual_s)
