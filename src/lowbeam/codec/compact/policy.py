"""The policies of compact codecs: how often a face is looked at, how long samples are gathered, and how large a packet
may be.

Time is cut into spans of `latency_s`, and a packet has the samples of one span. It counts as sent at the end of the
span.
"""

import math
from collections import deque
from dataclasses import replace
from typing import Protocol

from lowbeam.codec.budget import WINDOW_S, Budget, BudgetReport
from lowbeam.codec.operating_point import FrameRateLimiter, OperatingPoint
from lowbeam.codec.operating_table import Kept

MIN_LATENCY_S = 1.0
# Of a packet's size to that of its headers, by codec: with less latency, headers would cost more than samples gain.
LEAST = {"estimates": 1.5, "features": 4.0}


class CompactPolicy(Protocol):
    """Decides which frames are searched for faces, and the sizes of packets, which have samples of `latency_s`.
    `has_key_face` tells whether features go with a key face, so that the face can be looked at."""

    may_change: bool
    latency_s: float
    has_key_face: bool

    @property
    def is_idle(self) -> bool:
        """Whether nothing was sent for a while, so that a packet is sent in any case."""

    @property
    def point(self) -> OperatingPoint:
        """The operating point."""

    def looks_at(self, time_s: float) -> bool:
        """Whether to search the frame at `time_s` (seconds) for faces. Called once per frame, in order."""

    def end_of(self, time_s: float) -> float:
        """The end of the span in which `time_s` is."""

    def room(self, face: int, end_s: float) -> int | None:
        """Most bytes of the packet of `face` whose span ends at `end_s`; None if there is no limit."""

    def sent(self, size: int, end_s: float) -> None:
        """A packet of `size` bytes is sent at `end_s`."""

    def hold_back(self, samples: int) -> None:
        """So many samples are dropped, since no packet of them fits."""


def latency_for(budget: Budget, codec: str) -> float:
    """Seconds for which samples are gathered within a budget: a whole part of the window in which it holds."""
    wanted = max(MIN_LATENCY_S, 8 * LEAST[codec] * budget.weigh(0, 0) / budget.bps)
    return WINDOW_S / max(1, math.floor(WINDOW_S / wanted))


class _Spans:
    """Spans of `length_s` from the first time on."""

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._anchor_s: float | None = None

    def change(self, length_s: float) -> None:
        """Go on with spans of another length, from the end of the present one on."""
        self._length_s = length_s

    def end_of(self, time_s: float) -> float:
        """The end of the span in which `time_s` is; times do not decrease."""
        if self._length_s == 0:
            return time_s
        if self._anchor_s is None:
            self._anchor_s = time_s
        passed = math.floor((time_s - self._anchor_s) / self._length_s + 1e-9)
        self._anchor_s += passed * self._length_s  # so that a change of length takes effect from here on
        return self._anchor_s + self._length_s


class CompactFixed:
    """Packets as fine as the operating point says, whatever their size."""

    may_change = is_idle = False

    def __init__(
        self, point: OperatingPoint, latency_s: float | None = None, *, has_key_face: bool = False
    ) -> None:  # fmt: skip
        self.has_key_face = has_key_face
        self.point, self.latency_s = point, MIN_LATENCY_S if latency_s is None else latency_s
        self._limiter = FrameRateLimiter(point.fps)
        self._spans = _Spans(self.latency_s)

    def looks_at(self, time_s: float) -> bool:
        """Whether the frame at `time_s` is due."""
        return self._limiter.takes(time_s)

    def end_of(self, time_s: float) -> float:
        """As in `CompactPolicy`."""
        return self._spans.end_of(time_s)

    def room(self, face: int, end_s: float) -> None:
        """No limit."""

    def sent(self, size: int, end_s: float) -> None:
        """Nothing to do."""

    def hold_back(self, samples: int) -> None:
        """Nothing to do."""


class CompactBudget:
    """Packets that share a budget evenly over time, so that no `WINDOW_S` exceeds it. If not even the coarsest packet
    fits, one is sent in each window. `expected` is what such a budget keeps."""

    may_change = False

    def __init__(
        self, budget: Budget, point: OperatingPoint, latency_s: float | None = None, expected: Kept | None = None, *,
        has_key_face: bool = False,
    ) -> None:  # fmt: skip
        self.point, self.has_key_face = point, has_key_face
        self._gathered_s, self._expected = latency_s, expected
        self._limiter = FrameRateLimiter(point.fps)
        self._sent: deque[tuple[float, int]] = deque()  # in the window
        self._last_s: dict[int, float] = {}  # by face: end of its last packet
        self._most_bytes = self.held_back = 0
        self._is_reachable = True
        self._budget, self._overhead = budget, budget.weigh(0, 0)
        self.latency_s = latency_s or latency_for(budget, point.codec)
        self._spans = _Spans(self.latency_s)

    def change_budget(self, bps: float) -> None:
        """Continue with a budget of `bps` bits per second."""
        ratio = bps / self._budget.bps
        self._sent = deque((time_s, round(size * ratio)) for time_s, size in self._sent)
        self._most_bytes = round(self._most_bytes * ratio)
        self._budget = replace(self._budget, bps=bps)
        self._gather()

    def _gather(self) -> None:
        """Gather samples for as long as each face's share of the budget demands."""
        each = replace(self._budget, bps=self._budget.bps / max(1, len(self._last_s)))
        self.latency_s = self._gathered_s or latency_for(each, self.point.codec)
        self._spans.change(self.latency_s)

    @property
    def report(self) -> BudgetReport:
        """How the budget has been kept so far."""
        most_bps = 8 * self._most_bytes / WINDOW_S
        return BudgetReport(
            self._budget, most_bps, self._is_reachable, [(0.0, self.point)], self.held_back, self._expected,
            self.latency_s,
        )  # fmt: skip

    def looks_at(self, time_s: float) -> bool:
        """Whether the frame at `time_s` is due."""
        return self._limiter.takes(time_s)

    def end_of(self, time_s: float) -> float:
        """As in `CompactPolicy`."""
        return self._spans.end_of(time_s)

    def room(self, face: int, end_s: float) -> int | None:
        """As in `CompactPolicy`: an even share of the budget for each span and face, within the window."""
        window_s = WINDOW_S + self.latency_s
        self._last_s = {one: last_s for one, last_s in self._last_s.items() if end_s - last_s < window_s}
        self._last_s[face] = end_s
        share = self._budget.bps * self.latency_s / 8 / len(self._last_s)
        self._gather()
        room = min(share, self._budget.window_bytes - self._held(end_s)) - self._overhead
        return math.floor(room + 1e-6)

    def _held(self, end_s: float) -> int:
        """Bytes in the window that ends at `end_s`."""
        while self._sent and self._sent[0][0] <= end_s - WINDOW_S + 1e-3:
            self._sent.popleft()
        return sum(size for _, size in self._sent)

    @property
    def is_idle(self) -> bool:
        """Whether nothing was sent in the last window."""
        return not self._sent

    def sent(self, size: int, end_s: float) -> None:
        """Count a packet."""
        self._sent.append((end_s, self._budget.weigh(size, 0)))
        held = self._held(end_s)
        self._most_bytes = max(self._most_bytes, held)
        self._is_reachable &= held <= self._budget.window_bytes

    def hold_back(self, samples: int) -> None:
        """Count samples that are dropped."""
        self.held_back += samples
