"""What a receiver yields: the recordings that come in, their faces, and what changes."""

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from lowbeam.link.messages import Ask, Hello, Message, Report
from lowbeam.link.order import DecodedFace, FaceOrder

RATE_S = 10.0  # over which the rate of a recording is measured


class Connected(Protocol):
    """The connection that a recording comes by."""

    def tell(self, stream: int, message: Message) -> None:
        """Send a message on a stream."""

    def tell_stored(self, recording: "Incoming", number: int) -> None:
        """Tell the sender soon that the faces before `number` are stored."""

    def replaced(self, recording: "Incoming") -> None:
        """The sender has opened another connection for a recording."""

    def stop(self, why: str) -> None:
        """Close the connection, and forget what waits for its recordings."""


@dataclass(frozen=True)
class Accepted:
    """A sender that is let in: `sender` is whatever the program knows it by; the faces before `stored` of its recording
    are stored already."""

    sender: object
    stored: int = 0


Authorize = Callable[[Hello, str], Awaitable[Accepted | str]]
"""Called with each hello and the sender's IP address; returns who it is, or why it is refused. Raises a `LowbeamError`
if that cannot be told now: the sender tries again later."""


@dataclass
class Incoming:
    """A recording that is being received. `sender` is from `Accepted`; `started_utc` is Unix time by the sender's
    clock; `report` is the sender's last report; `delay_s` is the delay of the last live face in seconds by both clocks,
    right only if they are synchronized."""

    key: bytes
    sender: object
    name: str
    started_utc: float
    order: FaceOrder = field(repr=False)
    report: Report | None = None
    is_connected: bool = True
    is_complete: bool = False
    is_dropped: bool = False  # what waited of it is forgotten; its sender begins again, as another `Incoming`
    count: int | None = None  # faces that the recording has, known at its end
    delay_s: float | None = None
    connection: Connected | None = field(default=None, repr=False)
    stream: int = 0  # of the connection
    told: int = 0  # the sender knows that the faces before this number are stored
    _received: deque[tuple[float, int]] = field(default_factory=deque, repr=False)  # time and bytes, for the rate
    _recent_bytes: int = field(default=0, repr=False)  # the sum of those

    def ask(self, ask: Ask) -> None:
        """Ask the sender for something; nothing happens while it is not connected."""
        if self.connection is not None and self.is_connected:
            self.connection.tell(self.stream, ask)

    def count_bytes(self, size: int) -> None:
        """A packet of `size` bytes on the wire came for this recording."""
        self._received.append((time.monotonic(), size))
        self._recent_bytes += size
        self._forget_old()

    def rate_bps(self) -> float:
        """Bits per second received over the last `RATE_S`."""
        self._forget_old()
        return 8 * self._recent_bytes / RATE_S

    def _forget_old(self) -> None:
        since_s = time.monotonic() - RATE_S
        while self._received and self._received[0][0] < since_s:
            self._recent_bytes -= self._received.popleft()[1]


@dataclass(frozen=True)
class ReceivedFace:
    """A decoded face of a recording. `is_final` faces come once each, in order within their track, as if nothing had
    been lost; faces that are not final are shown at once and come again. `arrived_utc` is Unix time. Once this item was
    taken, all faces before the number `settled` are final, or will not come."""

    recording: Incoming = field(repr=False)
    decoded: DecodedFace
    is_live: bool
    arrived_utc: float
    settled: int


@dataclass(frozen=True)
class Change:
    """A recording began, reported, was cut off (it may come back) or is complete, as its fields say. `settled` is as in
    `ReceivedFace`."""

    recording: Incoming
    settled: int


Item = ReceivedFace | Change
