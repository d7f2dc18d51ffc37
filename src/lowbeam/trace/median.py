"""The running median of estimates, which removes what lasts a moment: blinks, and single frames that were read wrongly
(Tukey 1977, Exploratory Data Analysis, ch. 7)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowbeam.errors import UsageError
from lowbeam.trace.absence import longest_step_s

MEDIAN_S = 0.6  # chosen on rendered people of split valid (docs/recognizer.md, Blinks)
MAX_WINDOW_S = 60.0
EARLY_S = 0.001  # times are rounded to milliseconds
FILTERED = ("valence", "arousal")
BLOCK = 1 << 20  # values in memory at a time

Floats = NDArray[np.float64]


def check_window(window_s: float) -> None:
    """Raise `UsageError` unless `window_s` is above 0 and at most 60 seconds."""
    if not 0 < window_s <= MAX_WINDOW_S:
        raise UsageError(f"a median over {window_s:g} s is out of range: above 0, up to {MAX_WINDOW_S:g}")


def with_medians(columns: dict[str, NDArray[Any]], window_s: float) -> dict[str, NDArray[Any]]:
    """The columns of a trace with the `running_median` of valence and of arousal, each face by itself, and not
    across times at which it was away. Raises `UsageError` if `window_s` is out of range."""
    check_window(window_s)
    found = {name: values.copy() for name, values in columns.items()}
    for face in np.unique(columns["face"]):
        rows = np.flatnonzero(columns["face"] == face)
        rows = rows[np.argsort(columns["time_s"][rows], kind="stable")]
        time_s = columns["time_s"][rows]
        for part in np.split(rows, np.flatnonzero(np.diff(time_s) > longest_step_s(time_s)) + 1):
            for name in FILTERED:
                found[name][part] = running_median(columns["time_s"][part], columns[name][part], window_s)
    return found


def running_median(time_s: Floats, values: Floats, window_s: float) -> Floats:
    """Of each of `values` (n,) at rising `time_s` (n,), the median of itself and of as many before it as after it, as
    many as there are within half of `window_s` seconds on both sides."""
    reach_s = window_s / 2 + EARLY_S
    first, end = np.searchsorted(time_s, time_s - reach_s), np.searchsorted(time_s, time_s + reach_s, side="right")
    place = np.arange(len(time_s))
    reach = np.minimum(place - first, end - 1 - place)
    found = values.copy()
    for count in np.unique(reach):
        chosen = np.flatnonzero(reach == count)
        window = np.arange(-count, count + 1)
        for part in np.split(chosen, range(BLOCK // len(window) + 1, len(chosen), BLOCK // len(window) + 1)):
            found[part] = np.median(values[part[:, None] + window], axis=1)
    return found
