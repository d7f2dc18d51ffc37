"""The receiver without sockets: the events of one QUIC connection in, faces and messages out.

A sender opens a stream for each recording and says hello on it; the faces of that recording come in datagrams that name
the stream, and in messages of the stream itself.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import DatagramFrameReceived, HandshakeCompleted, QuicEvent, StreamDataReceived

from lowbeam.errors import StreamError
from lowbeam.link.messages import (
    MAX_MESSAGE,
    MAX_STREAMS,
    STREAM_STEP,
    Bye,
    Fill,
    Gone,
    Hello,
    Message,
    MessageReader,
    Refused,
    Report,
    read_datagram,
    write_message,
)  # fmt: skip
from lowbeam.link.quic import (
    RECEIVER_RTT_S,
    answer_again,
    answer_packets,
    be_patient,
    expect_round_trip,
    prepare_receiver,
)
from lowbeam.link.records import ReceivedRecord, read_records

MAX_EARLY = 64  # datagrams that wait for the hello of their stream
MAX_HELLO = 600  # bytes; nothing larger is kept of someone who has not said who it is
HELLO_S = 20.0  # that a connection may last without a hello
APPLICATION_ERROR = 1
PATIENCE_S = 2.0  # with acknowledgements, which wait for faces
SMALLER = 0.4  # round trip of the welcome, relative to that of the handshake's answer
# A sender that sends its first packet again may only be on a slow link. Its next packet, a quarter as long, then
# follows within this share of the time between the first two, and this time on its way, and more if the answer has
# several packets.
NEXT_SHARE, NEXT_S = 0.35, 0.2


@dataclass(frozen=True)
class Greeted:
    """A sender says hello on a stream."""

    stream: int
    hello: Hello


@dataclass(frozen=True)
class Arrived:
    """Faces came; `is_live` tells whether they came as they were made."""

    stream: int
    records: tuple[ReceivedRecord, ...]
    is_live: bool


@dataclass(frozen=True)
class Told:
    """A sender gives faces up, reports, or ends its recording."""

    stream: int
    message: Gone | Report | Bye


Incoming = Greeted | Arrived | Told


class ReceivingCore:
    """One connection of a sender. Nothing is taken from a stream before its hello, and no hello before the handshake is
    complete: early data could be a replay."""

    def __init__(self, quic: QuicConnection) -> None:
        self._quic = quic
        self._readers: dict[int, MessageReader] = {}
        self._greeted: set[int] = set()
        self._is_complete = False
        self._heard_s: float | None = None  # when the last datagram came
        self._share: float | None = None  # of the time between two of them, in which the next packet follows
        self._answer_s = -math.inf  # when the handshake is answered again
        prepare_receiver(quic)
        self._early: list[Incoming] = []
        self.wire_bytes = 0  # received, with IPv4 and UDP headers

    def hear(self, now: float) -> None:
        """A datagram comes, which QUIC takes next. Until the handshake is complete, it may be a first packet that is
        sent again, since the answer was lost or is on its way for long; it is answered again if nothing else follows
        soon."""
        if self._is_complete:
            return
        if self._heard_s is None:
            self._heard_s = now
            return
        if self._share is None:
            self._share = NEXT_SHARE + max(answer_packets(self._quic) - 1, 0.0)
        if now >= self._answer_s:  # otherwise it is answered soon anyway
            self._answer_s = now + self._share * (now - self._heard_s) + NEXT_S
            answer_again(self._quic, self._answer_s)
        self._heard_s = now

    def take(self, event: QuicEvent) -> Iterator[Incoming]:
        """What `event` brings. Raises `StreamError` if the sender breaks the protocol; the connection is then to be
        closed."""
        if isinstance(event, HandshakeCompleted):
            self._is_complete = True
            be_patient(self._quic, PATIENCE_S)
            expect_round_trip(self._quic, SMALLER, RECEIVER_RTT_S)
            early, self._early = self._early, []
            yield from early
        elif isinstance(event, DatagramFrameReceived):
            yield from self._when_complete(self._datagram(event.data))
        elif isinstance(event, StreamDataReceived):
            yield from self._when_complete(self._stream(event.stream_id, event.data))

    def _when_complete(self, incoming: Iterator[Incoming]) -> Iterator[Incoming]:
        if self._is_complete:
            yield from incoming
            return
        self._early += incoming
        if len(self._early) > MAX_EARLY:
            raise StreamError("a sender sends too much before its handshake is complete")

    def _datagram(self, data: bytes) -> Iterator[Incoming]:
        stream, records_data = read_datagram(data)
        records = tuple(read_records(records_data))
        if stream in self._greeted:  # otherwise it overtook the hello, and comes again
            yield Arrived(stream, records, is_live=True)

    def _stream(self, stream: int, data: bytes) -> Iterator[Incoming]:
        if stream % STREAM_STEP or stream >= STREAM_STEP * MAX_STREAMS:
            raise StreamError("a sender opens a stream that the link does not have")
        reader = self._readers.setdefault(stream, MessageReader(MAX_HELLO))
        for message in reader.take(data):
            if isinstance(message, Hello) and stream not in self._greeted:
                self._greeted.add(stream)
                reader.most = MAX_MESSAGE
                yield Greeted(stream, message)
            elif stream not in self._greeted:
                raise StreamError("a sender does not say hello")
            elif isinstance(message, Fill):
                yield Arrived(stream, tuple(read_records(message.records)), is_live=False)
            elif isinstance(message, Gone | Report | Bye):
                yield Told(stream, message)
            else:
                raise StreamError("a sender sends a message of a receiver")

    @property
    def is_greeted(self) -> bool:
        """Whether a hello has come."""
        return bool(self._greeted)

    def tell(self, stream: int, message: Message) -> None:
        """Send a message on a stream."""
        self._quic.send_stream_data(stream, write_message(message))

    def refuse(self, stream: int, why: str) -> None:
        """Tell a sender that its stream is not taken."""
        self.tell(stream, Refused(why))
        self._greeted.discard(stream)

    def close(self, why: str = "") -> None:
        """Close the connection."""
        self._quic.close(error_code=APPLICATION_ERROR if why else 0, reason_phrase=why)
