"""Rate control: keeps to a budget in every window of ten seconds, for any video."""

import math
from collections import deque

from lowbeam.codec.budget import MARGIN, WINDOW_S, Budget, BudgetReport
from lowbeam.codec.operating_point import FrameRateLimiter, OperatingPoint
from lowbeam.codec.operating_table import Entry

SEGMENT_S = 2.0  # between checks whether another operating point is better
TRIAL_S = 4.0  # for which an operating point is used before it is judged
STAY_S = 10.0  # before a point of a higher rate is tried: each change costs a key frame
AWAY_S = 5.0  # without a face, after which the judgement starts again
GAIN = 0.01  # of CCC that justifies a key frame
GUESS = 1.3  # estimate of the next face's size, relative to the last


class RateControl:
    """Moves along a ladder of operating-table entries so that no `WINDOW_S` exceeds the budget.

    `entry` is the current one; `wants` may change it at the end of a segment. A face that is unlikely to fit the budget
    is not coded, and a coded face that does not fit is not sent.
    """

    may_change = True

    def __init__(self, budget: Budget, rungs: list[Entry]) -> None:
        self._budget, self._rungs = budget, rungs
        self._sent: deque[tuple[float, int]] = deque()
        self._last_size: dict[bool, int] = {}  # of key faces, and of others
        self._ratio = 1.0  # of measured rates to those of the table
        self._since_s = self._looked_s = math.nan  # NaN until the first face
        self._wanted: deque[tuple[float, int, bool]] = deque()  # and faces held back; whether key
        self._most_bytes = 0  # in any window
        self._held_back = 0
        self._is_new = True  # the encoder is new: its first face is a key face
        self._last_s: float | None = None  # time of the last face that was sent
        self._expected, self._seconds = 0.0, 0.0  # integral of CCC over time, and the time
        self.entry = self._affordable()
        self._chosen = [(0.0, self.entry.point)]
        self._limiter = FrameRateLimiter(self.entry.point.fps)

    @property
    def point(self) -> OperatingPoint:
        """The current operating point."""
        return self.entry.point

    @property
    def report(self) -> BudgetReport:
        """How the budget has been kept so far."""
        expected = self._expected / self._seconds if self._seconds else self.entry.ccc
        most_bps = 8 * self._most_bytes / WINDOW_S
        return BudgetReport(self._budget, most_bps, self.is_reachable, self._chosen, self._held_back, expected)

    def wants(self, time_s: float) -> bool:
        """Whether a face at `time_s` is due and likely to fit the budget."""
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
        """Whether a coded face with its cues fits the budget."""
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
        """Whether the lowest rate of the ladder is within the budget."""
        return self._rungs[0].rate_bps(self._budget.counts) <= self._budget.bps

    def _affordable(self) -> Entry:
        """The best entry within the budget, by the rates measured so far; otherwise the one with the lowest rate."""
        most_bps = MARGIN * self._budget.bps
        fitting = [e for e in self._rungs if e.rate_bps(self._budget.counts) * self._ratio <= most_bps]
        return fitting[-1] if fitting else self._rungs[0]

    def _look(self, time_s: float) -> bool:
        """Choose the entry again at the end of a segment. Returns whether it changed."""
        if not self._wanted or time_s - self._wanted[-1][0] > AWAY_S:  # no face was in view: not a low rate
            self._since_s = self._looked_s = time_s
            self._wanted.clear()
            return False
        used_s = time_s - self._since_s
        if time_s - self._looked_s < SEGMENT_S or used_s < TRIAL_S:
            return False
        self._looked_s = time_s
        while self._wanted and self._wanted[0][0] <= time_s - WINDOW_S:
            self._wanted.popleft()
        key = max((size for _, size, is_key in self._wanted if is_key), default=0)  # one may be wanted repeatedly
        rest = sum(size for _, size, is_key in self._wanted if not is_key)
        comes_to = key + rest * WINDOW_S / min(used_s, WINDOW_S)  # a window has about one key face, whatever its length
        expected = self.entry.rate_bps(self._budget.counts) / 8 * WINDOW_S
        self._ratio = math.sqrt(
            self._ratio * min(max(comes_to / expected, 0.2), 8.0)
        )  # the geometric mean of old and new
        wanted = self._affordable()
        is_richer = wanted.ccc > self.entry.ccc
        if wanted == self.entry or (is_richer and (used_s < STAY_S or wanted.ccc < self.entry.ccc + GAIN)):
            return False
        self.entry, self._since_s = wanted, time_s
        self._wanted.clear()
        self._last_size.clear()
        return True

    def _may_code(self, time_s: float) -> bool:
        """Whether the next face is likely to fit. The first of its kind (key or not) is always tried, as is one after a
        window in which nothing was sent. If the budget is not reachable, nothing is held back."""
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
        """Bytes sent in the window that ends at `time_s`."""
        while self._sent and self._sent[0][0] <= time_s - WINDOW_S:
            self._sent.popleft()
        return sum(size for _, size in self._sent)
