"""Rate control: sends a face when the receiver's estimate is off, within a budget for every ten seconds.

A face is sent when the receiver's squared error, integrated since the last face, exceeds a threshold. It rises with the
share of the budget that is used. So a calm face is sent seldom and a lively one often, and where the budget is short,
it goes to the changes that are large or last. This is the sampling of networked sensors by send-on-area (Miskowicz
2007, "Asymptotic effectiveness of the event-based sampling according to the integral criterion", Sensors 7), with a
threshold that depends on the budget.
"""

import math
from collections import deque
from dataclasses import replace

from lowbeam.codec.budget import WINDOW_S, Budget, BudgetReport
from lowbeam.codec.operating_point import FrameRateLimiter, OperatingPoint
from lowbeam.codec.operating_table import Entry
from lowbeam.face import Face

THRESHOLD = 0.0018  # debt at which a face is sent where half of the budget is used: an error of 0.06 for 0.5 s
REFRESH_S = 2.0  # a face is sent again after this time if most of the budget is left
REFRESH_SHARE = 0.6  # of the budget that may be used then
CREDIT_S = 3.0  # at its start a stream may send as much at once as in this time
CHANGE_EVERY_S = 30.0  # another operating point, which begins with a key face, is taken when a key face is due,
EARLY_CHANGE_S, EARLY_CHANGE = 4.0, 2.0  # or earlier if the budgets of the entries differ by this factor
GUESS = 1.2  # estimate of the next face's size, relative to the last
KEY_SIZE = 3.5  # of a key face, relative to others, before one was coded
RATIO_GAIN = 1 / 8  # of a new ratio of sizes against those before
MOST_RATIO = 4.0  # of the measured size of a face to that of the table


class RateControl:
    """Decides which faces are sent so that no `WINDOW_S` exceeds the budget, and at which of `rungs`, entries of the
    operating table by rising budget. May be shared by several tracks."""

    may_change = True

    def __init__(self, budget: Budget, rungs: list[Entry]) -> None:
        self._budget, self._rungs = budget, rungs
        self._sent: deque[tuple[float, int]] = deque()  # in the window
        self._held = 0  # bytes in the window
        self._most_bytes = 0  # in any window
        self._first_s: float | None = None
        self._last_s: dict[int, float] = {}  # by face: time at which it was sent
        self._last_size: dict[bool, int] = {}  # of faces, and of key faces
        self._waiting: tuple[int, float, float] | None = None  # a face that was never sent, since when, and its size
        self._ratio, self._measured = 1.0, 0  # of measured sizes to those of the table; number of faces
        self._held_back = 0
        self.is_reachable = True
        self.entry = self._entry_for(1.0)
        self._expected = self.entry.kept if self._is_within(self.entry, 1.0) else None
        self._changed_s = math.nan
        self._chosen = [(0.0, self.entry.point)]
        self._limiter = FrameRateLimiter(self.entry.point.fps)

    @property
    def point(self) -> OperatingPoint:
        """The current operating point."""
        return self.entry.point

    @property
    def report(self) -> BudgetReport:
        """How the budget has been kept so far."""
        most_bps = 8 * self._most_bytes / WINDOW_S
        return BudgetReport(self._budget, most_bps, self.is_reachable, self._chosen, self._held_back, self._expected)

    def change_budget(self, bps: float) -> None:
        """Continue with a budget of `bps` bits per second. The share of the window that is used stays the same, so that
        a link that became thin is not left without faces until the window has passed; at once, another operating point
        is taken where the budgets of the entries differ much."""
        ratio = bps / self._budget.bps
        self._budget = replace(self._budget, bps=bps)
        self._sent = deque((time_s, round(size * ratio)) for time_s, size in self._sent)
        self._held = sum(size for _, size in self._sent)
        self._most_bytes = round(self._most_bytes * ratio)

    def looks_at(self, time_s: float) -> bool:
        """Whether the frame at `time_s` is due."""
        return self._limiter.takes(time_s)

    def wants(self, face: Face, debt: float, is_key: bool) -> bool:
        """Whether `face`, of which the receiver's mirror has the given `debt`, is worth its bytes."""
        time_s = face.time_s
        self._forget(time_s)
        is_key |= self._choose(time_s)
        size = self._expected_size(is_key)
        held = self._held + self._reserved(face.id, time_s)
        used = (held + size) / self._allowed(time_s)
        if not self._sent:
            return True
        if used >= 1:
            self._held_back += debt > THRESHOLD
            if math.isinf(debt) and self._waiting is None:
                self._waiting = face.id, time_s, size
            return False
        if time_s - self._last_s.get(face.id, -math.inf) >= REFRESH_S and used < REFRESH_SHARE:
            return True
        return debt > THRESHOLD * used / (1 - used)

    def admits(self, face: Face, face_bytes: int, cue_bytes: int, is_key: bool) -> bool:
        """Whether a coded face with its cues fits the budget. If not even one face fits, one is sent in each window."""
        time_s, size = face.time_s, self._budget.weigh(face_bytes, cue_bytes)
        self._last_size[is_key] = size
        if self._sent and self._held + size > self._allowed(time_s):
            self._held_back += 1
            return False
        if not is_key:
            self._measured += 1
            gain = max(RATIO_GAIN, 1 / self._measured)
            self._ratio += gain * (min(face_bytes / self.entry.face_bytes, MOST_RATIO) - self._ratio)
        self.is_reachable &= size <= self._budget.window_bytes
        self._sent.append((time_s, size))
        self._held += size
        self._most_bytes = max(self._most_bytes, self._held)
        self._last_s = {known: sent_s for known, sent_s in self._last_s.items() if time_s - sent_s < WINDOW_S}
        self._last_s[face.id] = time_s
        if self._waiting is not None and self._waiting[0] == face.id:
            self._waiting = None
        return True

    def _expected_size(self, is_key: bool) -> float:
        """What the next face, which may be a key face, is expected to count."""
        if is_key:
            first = self._budget.weigh(round(KEY_SIZE * self.entry.face_bytes), round(self.entry.cue_bytes))
            return self._last_size.get(True, first)
        return GUESS * self._last_size.get(False, self._budget.weigh(round(self.entry.face_bytes), 0))

    def _reserved(self, face: int, time_s: float) -> float:
        """Bytes that are kept free for another face, which was never sent, so that no face waits for ever."""
        if self._waiting is None or self._waiting[0] == face:
            return 0.0
        _, since_s, size = self._waiting
        if time_s - since_s > WINDOW_S:  # gone, or too large
            self._waiting = None
            return 0.0
        return size

    def _allowed(self, time_s: float) -> float:
        """Bytes that may be held by the window that ends at `time_s`: less until the stream is as long as a window."""
        if self._first_s is None:
            self._first_s = self._changed_s = time_s
        return self._budget.window_bytes * min(1.0, (time_s - self._first_s + CREDIT_S) / WINDOW_S)

    def _forget(self, time_s: float) -> None:
        """Remove what was sent before the window that ends at `time_s`."""
        while self._sent and self._sent[0][0] <= time_s - WINDOW_S:
            self._held -= self._sent.popleft()[1]

    def _choose(self, time_s: float) -> bool:
        """Choose the entry again by the measured sizes. Returns whether it changed."""
        used_s = time_s - self._changed_s
        if not used_s >= EARLY_CHANGE_S:
            return False
        wanted = self._entry_for(self._ratio)
        far = max(wanted.bps / self.entry.bps, self.entry.bps / wanted.bps) >= EARLY_CHANGE
        if used_s < CHANGE_EVERY_S and not far:
            return False
        self._changed_s = time_s
        if wanted == self.entry:
            return False
        self._ratio *= self.entry.face_bytes / wanted.face_bytes
        self._last_size.clear()
        self.entry = wanted
        self._chosen.append((time_s, wanted.point))
        return True

    def _entry_for(self, ratio: float) -> Entry:
        """The entry with the largest budget within this one, if faces have `ratio` times the size in the table."""
        return [self._rungs[0], *(entry for entry in self._rungs if self._is_within(entry, ratio))][-1]

    def _is_within(self, entry: Entry, ratio: float) -> bool:
        """Whether the rate of `entry`, with faces of `ratio` times the size in the table, is within the budget."""
        face, cue = round(ratio * entry.face_bytes), round(entry.cue_bytes)
        as_in_table = Budget(entry.bps).weigh(round(entry.face_bytes), cue)
        return entry.bps * self._budget.weigh(face, cue) / as_in_table <= self._budget.bps
