"""What is on now: the streams that the server receives, the last minutes of their estimates, and who listens."""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from lowbeam.face import Grey
from lowbeam.trace import Estimate

HISTORY_S = 120.0  # seconds of estimates that are kept for each person
MAX_POINTS = 2400  # estimates kept for each person at most
MAX_WAITING = 256  # updates that wait for a listener; of more, the oldest are dropped
FORGET_S = 60.0  # seconds after which a person who is absent is removed from a stream

Kind = Literal["link", "whip"]


@dataclass(frozen=True)
class LinkState:
    """How a stream's link is doing. Rates are bits per second on the wire, `loss` is the share of packets in [0, 1],
    delays are seconds from camera to server; None where not known."""

    state: str = "connecting"
    rate_bps: float = 0.0
    estimate_bps: float | None = None
    budget_bps: float | None = None
    loss: float = 0.0
    delay_s: float | None = None
    faces_per_s: float = 0.0
    point: str = ""
    behind: int = 0  # faces that were coded and have not been stored yet


@dataclass(frozen=True)
class Ask:
    """What the server asks of a sender: a key face, another budget (0: back to its own), or a better look for some
    seconds."""

    key: bool = False
    budget_bps: float | None = None
    look_s: float | None = None


@dataclass
class Person:
    """A person in a stream: the last `estimates` in order of time, and the last received `face`, uint8 (d, d)."""

    id: int
    estimates: deque[Estimate] = field(default_factory=lambda: deque(maxlen=MAX_POINTS))
    face: Grey | None = None
    seen_utc: float = 0.0


@dataclass
class LiveStream:
    """A stream that is on. `id` is that of its recording in the store; times of estimates are seconds from
    `started_utc` (Unix time). `ask` sends a request to the sender, None where that is not possible."""

    id: int
    sender: int
    name: str
    kind: Kind
    started_utc: float
    ask: Callable[[Ask], None] | None = None
    link: LinkState = field(default_factory=LinkState)
    people: dict[int, Person] = field(default_factory=dict)

    def see(self, estimate: Estimate, face: Grey | None, now_utc: float) -> None:
        """Add an estimate, with the face that it was made of, or None or an empty one if it cannot be looked at."""
        person = self.people.setdefault(estimate.face, Person(estimate.face))
        if person.estimates and estimate.time_s <= person.estimates[-1].time_s:
            return  # filled in later: it belongs in the history
        person.estimates.append(estimate)
        while estimate.time_s - person.estimates[0].time_s > HISTORY_S:
            person.estimates.popleft()
        person.face = face if face is not None and face.size else None
        person.seen_utc = now_utc
        for gone in [key for key, other in self.people.items() if now_utc - other.seen_utc > FORGET_S]:
            del self.people[gone]

    def refine(self, estimate: Estimate) -> None:
        """Replace the estimate of the same person and time, if it is still kept."""
        if (person := self.people.get(estimate.face)) is None:
            return
        times_s = [one.time_s for one in person.estimates]
        place = bisect_left(times_s, estimate.time_s)
        if times_s[place : place + 1] == [estimate.time_s]:
            person.estimates[place] = estimate


class Hub:
    """The streams that are on. All methods are called in the event loop of the server."""

    def __init__(self) -> None:
        self.streams: dict[int, LiveStream] = {}
        self._listeners: set[asyncio.Queue[int]] = set()

    def begin(self, stream: LiveStream) -> None:
        """A stream begins."""
        self.streams[stream.id] = stream
        self.changed(stream.id)

    def end(self, stream_id: int) -> None:
        """A stream ends."""
        if self.streams.pop(stream_id, None) is not None:
            self.changed(stream_id)

    def changed(self, stream_id: int) -> None:
        """Tell the listeners that a stream changed."""
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(stream_id)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["asyncio.Queue[int]"]:
        """A queue of the ids of streams that change."""
        queue: asyncio.Queue[int] = asyncio.Queue(MAX_WAITING)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)
