"""A budget in bits per second, and how it is held: over any ten seconds, whatever the picture does."""

import math
import re
from collections import deque
from dataclasses import dataclass
from typing import get_args

import numpy as np

from lowbeam.codec.operating_table import Counts, Entry
from lowbeam.codec.wire import rtp_bytes
from lowbeam.errors import UsageError

WINDOW_S = 10.0  # over which a budget holds
SEGMENT_S = 2.0  # between looks at whether another point would serve better
TRIAL_S = 4.0  # for which a point is used before it is judged
STAY_S = 10.0  # before a richer point is tried: each change costs a key frame
MARGIN = 0.95  # of the budget that a point is chosen for
AWAY_S = 5.0  # without a face, after which a point is judged anew
GAIN = 0.01  # of CCC: less is not worth a key frame
GUESS = 1.3  # times the last face's size: what the next may come to
UNITS = {"bps": 1, "kbps": 1e3, "mbps": 1e6, "bit/s": 1, "kbit/s": 1e3, "mbit/s": 1e6}


@dataclass(frozen=True)
class Budget:
    """At most `bps` bits per second of what `counts` names."""

    bps: float
    counts: Counts = "wire"

    @property
    def window_bytes(self) -> float:
        """Bytes that any `WINDOW_S` may hold."""
        return self.bps * WINDOW_S / 8

    def weigh(self, face_bytes: int, cue_bytes: int) -> int:
        """Bytes that a face and its cue count for."""
        return face_bytes if self.counts == "payload" else rtp_bytes(np.array([face_bytes + cue_bytes]))


def parse_budget(text: str, counts: str = "wire") -> Budget:
    """A budget from a number and a unit: ``"3kbps"``, ``"800 bit/s"``.

    Raises `UsageError` for a unit that is not known, a budget that is not positive, or `counts` of another name.
    """
    found = re.fullmatch(r"\s*([-+]?[0-9.]+(?:e[-+]?[0-9]+)?)\s*([a-z/]*)\s*", text.lower())
    if counts not in get_args(Counts):
        raise UsageError(f"budget of {counts} is not one of {', '.join(get_args(Counts))}")
    try:
        value = float(found[1]) if found else math.nan
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise UsageError(f"budget {text} is not a number and a unit; 3kbps is")
    unit = found[2] if found else ""
    if unit not in UNITS:
        raise UsageError(f"budget {text}: unit {unit or '(none)'} is not one of {', '.join(UNITS)}")
    if not 0 < value * UNITS[unit] < math.inf:
        raise UsageError(f"budget {text} must be more than nothing")
    return Budget(value * UNITS[unit], counts)  # type: ignore[arg-type]  # it was just checked


class RateControl:
    """Moves along a ladder of entries so that no `WINDOW_S` holds more than the budget.

    Whether a face may be coded is asked by `may_code`, before the work is done; whether it may be sent by `fits`; what
    was sent is told by `sent`. `entry` is the one to code at; at a segment's border `look` may change it.
    """

    def __init__(self, budget: Budget, rungs: list[Entry]) -> None:
        self._budget, self._rungs = budget, rungs
        self._sent: deque[tuple[float, int]] = deque()
        self._last_size: dict[bool, int] = {}  # of key faces, and of others
        self._ratio = 1.0  # of what comes to what the table says
        self._since_s = self._looked_s = math.nan  # until the first face
        self._wanted: deque[tuple[float, int, bool]] = deque()  # as `_sent`, with what was held back, and if it is key
        self.most_bytes = 0  # that a window held
        self.entry = self._affordable()

    @property
    def is_reachable(self) -> bool:
        """Whether the ladder's leanest point is within the budget."""
        return self._rungs[0].rate_bps(self._budget.counts) <= self._budget.bps

    def _affordable(self) -> Entry:
        """The best entry within the budget, by what the picture has come to so far; else the leanest."""
        most_bps = MARGIN * self._budget.bps
        fitting = [e for e in self._rungs if e.rate_bps(self._budget.counts) * self._ratio <= most_bps]
        return fitting[-1] if fitting else self._rungs[0]

    def look(self, time_s: float) -> bool:
        """Think again, at a segment's border. Returns whether `entry` is another now."""
        if not self._wanted or time_s - self._wanted[-1][0] > AWAY_S:  # nobody was there: that is no thrift
            self._since_s = self._looked_s = time_s
            self._wanted.clear()
            return False
        used_s = time_s - self._since_s
        if time_s - self._looked_s < SEGMENT_S or used_s < TRIAL_S:
            return False
        self._looked_s = time_s
        while self._wanted and self._wanted[0][0] <= time_s - WINDOW_S:
            self._wanted.popleft()
        key = max((size for _, size, is_key in self._wanted if is_key), default=0)  # one that waits is wanted often
        rest = sum(size for _, size, is_key in self._wanted if not is_key)
        comes_to = key + rest * WINDOW_S / min(used_s, WINDOW_S)  # a window has about one key face, whatever its length
        expected = self.entry.rate_bps(self._budget.counts) / 8 * WINDOW_S
        self._ratio = math.sqrt(
            self._ratio * min(max(comes_to / expected, 0.2), 8.0)
        )  # half way, on a scale of factors
        wanted = self._affordable()
        is_richer = wanted.ccc > self.entry.ccc
        if wanted == self.entry or (is_richer and (used_s < STAY_S or wanted.ccc < self.entry.ccc + GAIN)):
            return False
        self.entry, self._since_s = wanted, time_s
        self._wanted.clear()
        self._last_size.clear()
        return True

    def may_code(self, time_s: float, is_key: bool) -> bool:
        """Whether the next face is likely to fit; the first of its kind is tried, and so is one after a window in which
        nothing was sent. Below what the ladder can reach nothing is held back."""
        guess = self._last_size.get(is_key, 0) * (1.0 if is_key else GUESS)
        if self._held(time_s) == 0 or self.fits(time_s, int(guess)):
            return True
        self._wanted.append((time_s, int(guess), is_key))
        return False

    def fits(self, time_s: float, size: int) -> bool:
        """Whether `size` bytes may be sent at `time_s`."""
        return not self.is_reachable or self._held(time_s) + size <= self._budget.window_bytes

    def sent(self, time_s: float, size: int, is_key: bool) -> None:
        """Take note of what was sent."""
        self._sent.append((time_s, size))
        self._note(time_s, size, is_key)
        self.most_bytes = max(self.most_bytes, self._held(time_s))

    def refused(self, time_s: float, size: int, is_key: bool) -> None:
        """Take note of what a face came to that was not sent."""
        self._note(time_s, size, is_key)

    def _note(self, time_s: float, size: int, is_key: bool) -> None:
        self._wanted.append((time_s, size, is_key))
        self._last_size[is_key] = size

    def _held(self, time_s: float) -> int:
        """Bytes of the window that ends at `time_s`."""
        while self._sent and self._sent[0][0] <= time_s - WINDOW_S:
            self._sent.popleft()
        return sum(size for _, size in self._sent)
