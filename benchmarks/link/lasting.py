"""When a sender has followed a step in the rate of its link, in both benchmarks of steps."""

import numpy as np

DOWN_S, UP_S = 45.0, 75.0  # after the start, when the link becomes thin, and thick again
SMOOTH_S = 1.5  # over which the sent rate is taken
QUEUE_S = 1.0  # that may wait at the low rate
STAYS_S = 3.0  # a state counts if it lasts so long
BACK = 0.8  # of the budget before


def sent_bps(at_s: np.ndarray, sent_bytes: np.ndarray) -> np.ndarray:
    """The rate over the last `SMOOTH_S` at each time, from the bytes that were sent until then."""
    return np.asarray(8 * (sent_bytes - np.interp(at_s - SMOOTH_S, at_s, sent_bytes)) / SMOOTH_S)


def fits(sent: np.ndarray, backlog_bytes: np.ndarray, bps: float) -> np.ndarray:
    """Whether, at each time, little waits and little more than the rate `bps` of the link is sent."""
    return np.asarray((8 * backlog_bytes / bps < QUEUE_S) & (sent <= 1.1 * bps))


def lasting(at_s: np.ndarray, holds: np.ndarray, since_s: float, until_s: float) -> float | None:
    """Seconds from `since_s` until `holds` is true for `STAYS_S`; None if it never is before `until_s`, or the times
    end too early to tell."""
    for begin_s in at_s[(at_s >= since_s) & (at_s <= min(until_s, at_s[-1] - STAYS_S))]:
        if holds[(at_s >= begin_s) & (at_s <= begin_s + STAYS_S)].all():
            return round(float(begin_s - since_s), 1)
    return None
