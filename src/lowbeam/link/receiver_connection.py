"""One connection of a receiver: hands the events of QUIC to its core, puts faces in order, and answers the sender."""

import asyncio
import contextlib
import logging
import time
from typing import Protocol

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic.connection import NetworkAddress, QuicConnection
from aioquic.quic.events import ConnectionTerminated, QuicEvent

from lowbeam.codec.wire import IP_UDP
from lowbeam.errors import LowbeamError, StreamError
from lowbeam.link.incoming import Authorize, Change, Incoming, Item, ReceivedFace
from lowbeam.link.messages import MAX_HELD, Bye, Gone, Message, Report, Stored, Welcome
from lowbeam.link.order import DecodedFace, FaceOrder
from lowbeam.link.receiving_core import HELLO_S, Arrived, Greeted, ReceivingCore, Told

MAX_CONNECTIONS = 1024
STORED_S = 10.0  # between messages on what was stored

log = logging.getLogger(__name__)


class Listening(Protocol):
    """The receiver, as its connections see it."""

    authorize: Authorize
    stores_itself: bool
    recordings: dict[bytes, Incoming]
    connections: "set[ReceiverConnection]"
    refused: int

    def put(self, item: Item) -> None:
        """Queue an item. Raises `StreamError`."""

    def stored(self, recording: Incoming, number: int) -> None:
        """The faces of `recording` before `number` are stored for good."""

    def forget(self, recording: Incoming) -> None:
        """Free the memory of a recording that is not connected."""


class ReceiverConnection(QuicConnectionProtocol):
    """One connection: hands events to its core and answers."""

    def __init__(self, quic: QuicConnection, receiver: "Listening") -> None:
        super().__init__(quic)
        self.core = ReceivingCore(quic)
        self._receiver = receiver
        self._recordings: dict[int, Incoming] = {}
        self._address = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = False
        self._telling: dict[bytes, tuple[Incoming, int]] = {}
        self._tell_handle: asyncio.TimerHandle | None = None
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HELLO_S * 3, self._check_hello)
        if len(receiver.connections) < MAX_CONNECTIONS:
            receiver.connections.add(self)
        else:
            receiver.refused += 1
            quic.close(reason_phrase="too many connections")  # sent in answer to the first packet, which comes next

    def datagram_received(self, data: bytes | str, addr: NetworkAddress) -> None:
        """Called by the server."""
        self._address = str(addr[0])
        for recording in [*self._recordings.values()][:1]:  # the live one came first
            recording.count_bytes(IP_UDP + len(data))
        self.core.hear(self._loop.time())
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
            recording.is_dropped = True
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
        except Exception:  # a defect: a sender that waits for an answer would wait for ever
            log.exception("a sender at %s has to try again later", self._address)
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
        elif recording.connection is not None and recording.connection is not self:
            recording.connection.replaced(recording)
        recording.connection, recording.stream, recording.is_connected = self, greeted.stream, True
        recording.is_complete, recording.count = False, None
        recording.told = answer.stored
        self._recordings[greeted.stream] = recording
        order = recording.order
        held = (*range(answer.stored, order.next), *order.held)  # some are not stored yet, but need not come again
        holds = order.holds_decoders and order.next >= answer.stored
        self.core.tell(greeted.stream, Welcome(answer.stored, holds, held if len(held) <= MAX_HELD else ()))
        self._receiver.put(Change(recording, recording.order.next))
        self.transmit()

    def tell(self, stream: int, message: Message) -> None:
        """Send a message on a stream."""
        self.core.tell(stream, message)
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
            recording.delay_s = now_utc - recording.started_utc - arrived.records[-1].face.time_ms / 1000
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
            if recording.connection is not self or not recording.is_connected:
                continue
            recording.told = number
            self.core.tell(recording.stream, Stored(number))
            if recording.count is not None and number >= recording.count:
                recording.is_complete = True
                recording.order.close()
                self.core.tell(recording.stream, Bye(recording.count))
                with contextlib.suppress(StreamError):
                    self._receiver.put(Change(recording, recording.order.next))
        self.transmit()

    def _end(self) -> None:
        """The connection is over."""
        self._is_over = True
        self._deadline.cancel()
        if self._tell_handle is not None:
            self._tell_handle.cancel()
        self._receiver.connections.discard(self)
        for recording in self._recordings.values():
            if recording.connection is self:
                recording.is_connected, recording.connection = False, None
                with contextlib.suppress(StreamError):
                    self._receiver.put(Change(recording, recording.order.next))
                if recording.is_complete:
                    self._receiver.forget(recording)
        self._recordings.clear()
