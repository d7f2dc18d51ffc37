"""Presentation times that never decrease, also where the timestamps of a source are missing or set back."""

import logging
from fractions import Fraction

from lowbeam.errors import SourceError
from lowbeam.media.limits import MAX_TIME_S

STEP_BACK_S = 0.5  # a clock that goes back further was set back; otherwise frames are out of order

log = logging.getLogger(__name__)


class PresentationClock:
    """Converts timestamps to seconds from the first frame.

    A frame without a timestamp follows the previous one by `period_s`. If the clock is set back, as between two
    recordings in one file, times continue from the last one, and a warning is logged.
    """

    def __init__(self, name: str, period_s: float) -> None:
        self._name, self._period_s = name, period_s
        self._zero_s: Fraction | None = None  # the source's clock at time 0
        self.last_s: float | None = None
        self._has_warned = False

    def time_of(self, timestamp: int | None, time_base: Fraction | None) -> float:
        """Time of the next frame in seconds. Raises `SourceError` if it is beyond `MAX_TIME_S`."""
        if timestamp is None or time_base is None:
            if self.last_s is None:
                self._warn("has no timestamps; times are derived from its frame rate")
            self.last_s = 0.0 if self.last_s is None else self.last_s + self._period_s
            return self.last_s
        shown_s = timestamp * time_base
        if self._zero_s is None:
            self._zero_s = shown_s if self.last_s is None else self._zero_after_last(shown_s)
        time_s = float(shown_s - self._zero_s)
        if abs(time_s) > MAX_TIME_S:
            raise SourceError(f"{self._name} is damaged: it states a time of {time_s:.3g} s")
        if self.last_s is not None and time_s < self.last_s - STEP_BACK_S:
            self._warn(f"sets its clock back at {self.last_s:.2f} s; times continue from there")
            self._zero_s = self._zero_after_last(shown_s)
            time_s = float(shown_s - self._zero_s)
        self.last_s = time_s if self.last_s is None else max(time_s, self.last_s)  # out of order: it follows at once
        return self.last_s

    def _zero_after_last(self, shown_s: Fraction) -> Fraction:
        """The zero that places a frame with the timestamp `shown_s` one period after the last."""
        return shown_s - Fraction((self.last_s or 0.0) + self._period_s)

    def _warn(self, what: str) -> None:
        if not self._has_warned:
            log.warning("%s %s", self._name, what)
            self._has_warned = True
