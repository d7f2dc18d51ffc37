"""Listens for senders and yields their faces: the receiver over UDP, in an asyncio program."""

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import QuicServer
from aioquic.quic.connection import NetworkAddress, QuicConnection
from aioquic.quic.events import ConnectionTerminated, QuicEvent
from aioquic.tls import SessionTicket

from lowbeam.errors import LowbeamError, OutputError, StreamError, reason
from lowbeam.link.messages import Ask, Bye, Gone, Hello, Report, Stored, Welcome
from lowbeam.link.order import DecodedFace, FaceOrder
from lowbeam.link.quic import DEFAULT_PORT, receiver_configuration
from lowbeam.link.receiving_core import HELLO_S, Arrived, Greeted, ReceivingCore, Told

MAX_CONNECTIONS = 1024
MAX_TICKETS = 10_000
MAX_WAITING = 10_000  # items that wait to be taken from a receiver
STORED_S = 10.0  # between messages on what was stored
RATE_S = 10.0

log = logging.getLogger(__name__)


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
    clock; `report` is the sender's last report; `behind_s` is the delay of the last live face in seconds, above the
    smallest of the last minutes, which is not known itself unless both clocks are synchronized."""

    key: bytes
    sender: object
    name: str
    started_utc: float
    order: FaceOrder = field(repr=False)
    report: Report | None = None
    is_connected: bool = True
    is_complete: bool = False
    count: int | None = None  # faces that the recording has, known at its end
    delay_s: float | None = None
    offset_s: float | None = None  # sender's clock to ours, with the shortest delay seen
    received: deque[tuple[float, int]] = field(default_factory=deque, repr=False)  # time and bytes, for the rate
    _protocol: "_Protocol | None" = field(default=None, repr=False)
    _stream: int = 0
    _told: int = 0

    def ask(self, ask: Ask) -> None:
        """Ask the sender for something; nothing happens while it is not connected."""
        if self._protocol is not None and self.is_connected:
            self._protocol.core.tell(self._stream, ask)
            self._protocol.transmit()

    def rate_bps(self) -> float:
        """Bits per second received over the last `RATE_S`."""
        now = time.monotonic()
        return 8 * sum(size for at, size in self.received if now - at <= RATE_S) / RATE_S


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


class Receiver:
    """Listens on a UDP port and yields the faces of all senders, in an asyncio program::

        async with Receiver(certificate, key, authorize=authorize) as receiver:
            async for item in receiver:
                ...

    `certificate` and `key` are PEM files (`lowbeam.link.own_certificate` makes some). `authorize` decides on every
    sender. With `stores_itself` the program calls `stored` when faces are stored for good, and the sender keeps them
    until then; otherwise a face counts as stored when it was yielded. Raises `UsageError` or `OutputError`.
    """

    def __init__(
        self, certificate: str | os.PathLike[str], key: str | os.PathLike[str], *, authorize: Authorize,
        host: str = "127.0.0.1", port: int = DEFAULT_PORT, stores_itself: bool = False,
    ) -> None:  # fmt: skip
        self._configuration = receiver_configuration(Path(certificate), Path(key))
        self.authorize, self._host, self._port, self.stores_itself = authorize, host, port, stores_itself
        self._queue: asyncio.Queue[Item] = asyncio.Queue()
        self._tickets: dict[bytes, SessionTicket] = {}
        self.recordings: dict[bytes, Incoming] = {}
        self.protocols: set[_Protocol] = set()
        self.refused = 0  # connections
        self._server: QuicServer | None = None

    async def __aenter__(self) -> "Receiver":
        loop = asyncio.get_running_loop()
        try:
            _, self._server = await loop.create_datagram_endpoint(
                lambda: QuicServer(
                    configuration=self._configuration, create_protocol=self._make_protocol,
                    session_ticket_fetcher=lambda label: self._tickets.pop(label, None),
                    session_ticket_handler=self._keep_ticket,
                ),
                local_addr=(self._host, self._port),
            )  # fmt: skip
        except OSError as error:
            raise OutputError(f"cannot listen on UDP {self._host}:{self._port}: {reason(error)}") from error
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections and stop listening."""
        if self._server is not None:
            for protocol in [*self.protocols]:
                protocol.close()
                protocol.transmit()
            self._server.close()
            self._server = None
        for recording in self.recordings.values():
            recording.order.close()

    async def __aiter__(self) -> AsyncIterator[Item]:
        while True:
            item = await self._queue.get()
            yield item
            if not self.stores_itself and isinstance(item, ReceivedFace) and item.decoded.is_final:
                self.stored(item.recording, item.settled)

    def put(self, item: Item) -> None:
        """Queue an item. A program that does not take them loses provisional faces first, then the connection."""
        if self._queue.qsize() > MAX_WAITING:
            if isinstance(item, ReceivedFace) and not item.decoded.is_final:
                return
            raise StreamError("faces are not taken as fast as they come")
        self._queue.put_nowait(item)

    def stored(self, recording: Incoming, number: int) -> None:
        """The faces of `recording` before `number` are stored for good: its sender is told soon."""
        protocol = recording._protocol
        is_over = recording.count is not None and number >= recording.count and not recording.is_complete
        if protocol is not None and recording.is_connected and (number > recording._told or is_over):
            protocol.tell_stored(recording, number)

    def forget(self, recording: Incoming) -> None:
        """Free the memory of a recording that is not connected."""
        if not recording.is_connected:
            recording.order.close()
            self.recordings.pop(recording.key, None)

    def drop(self, recording: Incoming, why: str) -> None:
        """Close the connection of a recording and forget what waits for it: its sender sends again what is not
        stored."""
        if recording._protocol is not None:
            recording._protocol.stop(why)
        self.forget(recording)

    def _keep_ticket(self, ticket: SessionTicket) -> None:
        if len(self._tickets) >= MAX_TICKETS:
            self._tickets.pop(next(iter(self._tickets)))
        self._tickets[ticket.ticket] = ticket

    def _make_protocol(self, quic: QuicConnection, stream_handler: object = None) -> "_Protocol":
        return _Protocol(quic, self)


class _Protocol(QuicConnectionProtocol):
    """One connection: hands events to its core and answers."""

    def __init__(self, quic: QuicConnection, receiver: Receiver) -> None:
        super().__init__(quic)
        self.core = ReceivingCore(quic)
        self._receiver = receiver
        self._recordings: dict[int, Incoming] = {}
        self._address = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = False
        self._telling: dict[bytes, tuple[Incoming, int]] = {}
        self._tell_handle: asyncio.TimerHandle | None = None
        receiver.protocols.add(self)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HELLO_S * 3, self._check_hello)
        if len(receiver.protocols) > MAX_CONNECTIONS:
            receiver.refused += 1
            self.close(reason_phrase="too many connections")

    def datagram_received(self, data: bytes | str, addr: NetworkAddress) -> None:
        """Called by the server."""
        self._address = str(addr[0])
        now = time.monotonic()
        for recording in self._recordings.values():
            recording.received.append((now, 28 + len(data)))
            while now - recording.received[0][0] > RATE_S:
                recording.received.popleft()
            break  # the live one came first
        super().datagram_received(data, addr)

    def quic_event_received(self, event: QuicEvent) -> None:
        """Called by aioquic."""
        if isinstance(event, ConnectionTerminated):
            self._end()
            return
        try:
            for incoming in self.core.take(event):
                if isinstance(incoming, Greeted):
                    task = asyncio.ensure_future(self._greet(incoming))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                elif isinstance(incoming, Arrived):
                    self._arrive(incoming)
                else:
                    self._told(incoming)
        except StreamError as error:
            self.stop(str(error))

    def stop(self, why: str) -> None:
        """Close the connection, and forget what waits for its recordings."""
        log.warning("the link from %s is closed: %s", self._address, why)
        self._receiver.refused += 1
        for recording in self._recordings.values():  # what waited is sent again
            recording.order.close()
            self._receiver.recordings.pop(recording.key, None)
        self.close(error_code=1, reason_phrase=why[:100])
        self.transmit()

    def _check_hello(self) -> None:
        if not self.core.is_greeted:
            self._receiver.refused += 1
            self.close(reason_phrase="no hello")

    async def _greet(self, greeted: Greeted) -> None:
        hello = greeted.hello
        try:
            answer = await self._receiver.authorize(hello, self._address)
        except LowbeamError as error:
            log.error("a sender at %s has to try again later: %s", self._address, error)
            self.close(error_code=1, reason_phrase="not now")
            return
        if self._is_over:
            return
        if isinstance(answer, str):
            log.warning("a sender at %s is refused: %s", self._address, answer)
            self._receiver.refused += 1
            self.core.refuse(greeted.stream, answer)
            self.transmit()
            return
        recordings = self._receiver.recordings
        recording = recordings.get(hello.key)
        if recording is not None and recording.sender != answer.sender:
            self.core.refuse(greeted.stream, "the recording is that of another sender")
            self.transmit()
            return
        if recording is None:
            recording = Incoming(
                hello.key, answer.sender, hello.name, hello.started_ms / 1000, FaceOrder(answer.stored)
            )  # fmt: skip
            recordings[hello.key] = recording
        elif recording._protocol is not None and recording._protocol is not self:
            recording._protocol.replaced(recording)
        recording._protocol, recording._stream, recording.is_connected = self, greeted.stream, True
        recording.is_complete, recording.count = False, None
        recording._told = answer.stored
        self._recordings[greeted.stream] = recording
        order = recording.order
        held = tuple(order.held[:1000]) if len(order.held) <= 1000 else ()
        self.core.tell(
            greeted.stream, Welcome(answer.stored, order.holds_decoders and order.next >= answer.stored, held)
        )
        self._receiver.put(Change(recording, recording.order.next))
        self.transmit()

    def replaced(self, recording: Incoming) -> None:
        """The sender has opened another connection for a recording."""
        for stream in [stream for stream, one in self._recordings.items() if one is recording]:
            del self._recordings[stream]
        if not self._recordings:
            self.close(reason_phrase="replaced")

    def _arrive(self, arrived: Arrived) -> None:
        recording = self._recordings.get(arrived.stream)
        if recording is None:
            return  # not welcomed yet: it comes again
        now_utc = time.time()
        if arrived.is_live and arrived.records:
            self._measure(recording, arrived.records[-1].face.time_ms / 1000, now_utc)
        for record in arrived.records:
            self._put_faces(recording, recording.order.add(record), arrived.is_live, now_utc)

    def _put_faces(self, recording: Incoming, faces: list[DecodedFace], is_live: bool, now_utc: float) -> None:
        settled = recording.order.next
        items: list[ReceivedFace] = []
        for decoded in reversed(faces):
            items.append(ReceivedFace(recording, decoded, is_live, now_utc, settled))
            settled = min(settled, decoded.number) if decoded.is_final else settled
        for item in reversed(items):
            self._receiver.put(item)

    @staticmethod
    def _measure(recording: Incoming, time_s: float, now_utc: float) -> None:
        """The delay of a live face by the difference of the clocks."""
        behind = now_utc - recording.started_utc - time_s
        recording.offset_s = behind if recording.offset_s is None else min(recording.offset_s, behind)
        recording.delay_s = behind

    def _told(self, told: Told) -> None:
        recording = self._recordings.get(told.stream)
        if recording is None:
            return
        if isinstance(told.message, Gone):
            faces = recording.order.skip(told.message.first, told.message.last)
            self._put_faces(recording, faces, False, time.time())
        elif isinstance(told.message, Report):
            recording.report = told.message
        else:
            recording.count = told.message.count
            if not self._receiver.stores_itself:
                self._receiver.stored(recording, recording.order.next)
        self._receiver.put(Change(recording, recording.order.next))

    def tell_stored(self, recording: Incoming, number: int) -> None:
        """Tell the sender soon that the faces before `number` are stored."""
        self._telling[recording.key] = recording, number
        is_over = recording.count is not None and number >= recording.count
        if self._tell_handle is None or is_over:
            if self._tell_handle is not None:
                self._tell_handle.cancel()
            delay_s = 0.05 if is_over else STORED_S
            self._tell_handle = asyncio.get_running_loop().call_later(delay_s, self._tell)

    def _tell(self) -> None:
        self._tell_handle = None
        telling, self._telling = self._telling, {}
        for recording, number in telling.values():
            if recording._protocol is not self or not recording.is_connected:
                continue
            recording._told = number
            self.core.tell(recording._stream, Stored(number))
            if recording.count is not None and number >= recording.count:
                recording.is_complete = True
                recording.order.close()
                self.core.tell(recording._stream, Bye(recording.count))
                with contextlib.suppress(StreamError):
                    self._receiver.put(Change(recording, recording.order.next))
        self.transmit()

    def _end(self) -> None:
        """The connection is over."""
        self._is_over = True
        self._deadline.cancel()
        if self._tell_handle is not None:
            self._tell_handle.cancel()
        self._receiver.protocols.discard(self)
        for recording in self._recordings.values():
            if recording._protocol is self:
                recording.is_connected, recording._protocol = False, None
                with contextlib.suppress(StreamError):
                    self._receiver.put(Change(recording, recording.order.next))
                if recording.is_complete:
                    self._receiver.forget(recording)
        self._recordings.clear()
