"""How a budget is held: over any ten seconds, whatever the picture does."""

import math
from collections import deque

from lowbeam.codec.budget import MARGIN, WINDOW_S, Budget, BudgetReport
from lowbeam.codec.operating_point import FrameRateLimiter, OperatingPoint
from lowbeam.codec.operating_table import Entry

SEGMENT_S = 2.0  # between looks at whether another point would serve better
TRIAL_S = 4.0  # for which a point is used before it is judged
STAY_S = 10.0  # before a richer point is tried: each change costs a key frame
AWAY_S = 5.0  # without a face, after which a point is judged anew
GAIN = 0.01  # of CCC: less is not worth a key frame
GUESS = 1.3  # times the last face's size: what the next may come to


class RateControl:
    """Moves along a ladder of entries so that no `WINDOW_S` holds more than the budget.

    `entry` is the one to code at; at a segment's border `wants` may change it. A face that is likely not to fit is not
    wanted, and one that does not fit is not admitted.
    """

    may_change = True

    def __init__(self, budget: Budget, rungs: list[Entry]) -> None:
        self._budget, self._rungs = budget, rungs
        self._sent: deque[tuple[float, int]] = deque()
        self._last_size: dict[bool, int] = {}  # of key faces, and of others
        self._ratio = 1.0  # of what comes to what the table says
        self._since_s = self._looked_s = math.nan  # until the first face
        self._wanted: deque[tuple[float, int, bool]] = deque()  # as `_sent`, with what was held back, and if it is key
        self._most_bytes = 0  # that a window held
        self._held_back = 0
        self._is_new = True  # of the encoder: its first face is a key face
        self._last_s: float | None = None  # when a face was sent
        self._expected, self._seconds = 0.0, 0.0  # sum of CCC by time, and the time
        self.entry = self._affordable()
        self._chosen = [(0.0, self.entry.point)]
        self._limiter = FrameRateLimiter(self.entry.point.fps)

    @property
    def point(self) -> OperatingPoint:
        """The operating point now."""
        return self.entry.point

    @property
    def report(self) -> BudgetReport:
        """How the budget was kept so far."""
        expected = self._expected / self._seconds if self._seconds else self.entry.ccc
        most_bps = 8 * self._most_bytes / WINDOW_S
        return BudgetReport(self._budget, most_bps, self.is_reachable, self._chosen, self._held_back, expected)

    def wants(self, time_s: float) -> bool:
        """Whether a face at `time_s` is due, and is likely to fit."""
        if self._look(time_s):
            self._chosen.append((time_s, self.point))
            self._limiter, self._is_new = FrameRateLimiter(self.point.fps), True
        if not self._limiter.takes(time_s):
            return False
        if self._may_code(time_s):
            return True
        self._held_back += 1
        return False

    def admits(self, time_s: float, face_bytes: int, cue_bytes: int, is_key: bool) -> bool:
        """Whether a coded face with its cues fits."""
        size = self._budget.weigh(face_bytes, cue_bytes)
        self._note(time_s, size, is_key)
        if not self._fits(time_s, size):
            self._held_back += 1
            self._is_new = True
            return False
        self._sent.append((time_s, size))
        self._most_bytes = max(self._most_bytes, self._held(time_s))
        since_s = time_s - self._last_s if self._last_s is not None else 1 / self.point.fps
        self._expected += self.entry.ccc * since_s
        self._seconds += since_s
        self._last_s, self._is_new = time_s, False
        return True

    @property
    def is_reachable(self) -> bool:
        """Whether the ladder's leanest point is within the budget."""
        return self._rungs[0].rate_bps(self._budget.counts) <= self._budget.bps

    def _affordable(self) -> Entry:
        """The best entry within the budget, by what the picture has come to so far; else the leanest."""
        most_bps = MARGIN * self._budget.bps
        fitting = [e for e in self._rungs if e.rate_bps(self._budget.counts) * self._ratio <= most_bps]
        return fitting[-1] if fitting else self._rungs[0]

    def _look(self, time_s: float) -> bool:
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

    def _may_code(self, time_s: float) -> bool:
        """Whether the next face is likely to fit; the first of its kind is tried, and so is one after a window in which
        nothing was sent. Below what the ladder can reach nothing is held back."""
        guess = int(self._last_size.get(self._is_new, 0) * (1.0 if self._is_new else GUESS))
        if self._held(time_s) == 0 or self._fits(time_s, guess):
            return True
        self._wanted.append((time_s, guess, self._is_new))
        return False

    def _fits(self, time_s: float, size: int) -> bool:
        """Whether `size` bytes may be sent at `time_s`."""
        return not self.is_reachable or self._held(time_s) + size <= self._budget.window_bytes

    def _note(self, time_s: float, size: int, is_key: bool) -> None:
        self._wanted.append((time_s, size, is_key))
        self._last_size[is_key] = size

    def _held(self, time_s: float) -> int:
        """Bytes of the window that ends at `time_s`."""
        while self._sent and self._sent[0][0] <= time_s - WINDOW_S:
            self._sent.popleft()
        return sum(size for _, size in self._sent)
