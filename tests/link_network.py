"""A seeded network without sockets: a `SendingCore` and receivers under a virtual clock, and coded faces for them."""

import heapq
import random
from dataclasses import dataclass, field

import numpy as np
from aioquic.buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import pull_quic_header

from lowbeam.codec import CodedFace, TrackHeader
from lowbeam.codec.cues import BoxCue
from lowbeam.codec.operating_point import OperatingPoint, open_encoder
from lowbeam.face import Box, Face, Grey
from lowbeam.link.messages import Bye, Hello, Report, Stored, Welcome
from lowbeam.link.order import FaceOrder
from lowbeam.link.quic import CONNECTION_ID_BYTES
from lowbeam.link.receiving_core import Arrived, Greeted, ReceivingCore
from lowbeam.link.records import FaceRecord
from lowbeam.link.sending_core import SendingCore, State
from lowbeam.scale import shrink

CAMERA, SERVER = ("192.0.2.1", 5000), ("192.0.2.2", 7443)


@dataclass(frozen=True)
class Coded:
    """A coded face of a track, and its header and box."""

    track: int
    header: TrackHeader
    coded: CodedFace
    box: BoxCue | None


def code_faces(pixels: list[Grey], tracks: int = 1, every_ms: int = 200, key_every: int = 1000) -> list[Coded]:
    """Real faces, coded one after the other in `tracks` in turn, with a key face every `key_every` of each track."""
    found: list[Coded] = []
    for track in range(tracks):
        encoder = open_encoder(OperatingPoint("hevc", 8, 37, 5.0))
        for index, face in enumerate(pixels[track::tracks]):
            if index and index % key_every == 0:
                encoder.flush()
                encoder = open_encoder(OperatingPoint("hevc", 8, 37, 5.0))
            time_ms = (index * tracks + track) * every_ms
            for one in encoder.encode(shrink(face[None], 8)[0], time_ms):
                box = BoxCue(track, Box(float(time_ms), 1.0, 50.0)) if one.is_key else None
                found.append(Coded(track, encoder.header, one, box))
        encoder.flush()
    return sorted(found, key=lambda one: (one.coded.time_ms, one.track))


def records_of(faces: list[Coded]) -> tuple[list[FaceRecord], dict[int, TrackHeader]]:
    """The records that a sender makes of coded faces, and their headers."""
    last: dict[int, int] = {}
    headers: list[TrackHeader] = []
    rows = []
    for number, one in enumerate(faces):
        if one.header not in headers:
            headers.append(one.header)
        header = headers.index(one.header) if one.coded.is_key else 0
        rows.append(
            FaceRecord(
                number, last.get(one.track), one.coded.time_ms, one.coded.is_key, one.track if one.coded.is_key else 0,
                header, one.box, one.coded.data,
            )
        )  # fmt: skip
        last[one.track] = number
    return rows, dict(enumerate(headers))


def same_face(one: Face | None, other: Face | None) -> bool:
    """Whether two decoded faces are equal."""
    if one is None or other is None:
        return one is other
    return (one.time_s, one.id, one.box) == (other.time_s, other.id, other.box) and bool(
        np.array_equal(one.pixels, other.pixels)
    )


@dataclass
class Server:
    """A receiver that stores what is final at once. Its connections can be forgotten, as by kill -9."""

    configuration: QuicConfiguration
    token: str = "secret"
    stored: dict[bytes, dict[int, Face | None]] = field(default_factory=dict)  # survives a restart
    upto: dict[bytes, int] = field(default_factory=dict)
    doubled: int = 0
    is_confirming: bool = True
    tokens: list[str] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    live: list[tuple[float, int]] = field(default_factory=list)
    counts: dict[bytes, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Lose everything but what is stored."""
        self._quics: dict[bytes, tuple[QuicConnection, ReceivingCore, dict[int, bytes]]] = {}
        self.orders: dict[bytes, FaceOrder] = {}

    def receive(self, data: bytes, now: float) -> None:
        """A datagram came."""
        header = pull_quic_header(Buffer(data=data), host_cid_length=CONNECTION_ID_BYTES)
        found = self._quics.get(header.destination_cid)
        if found is None:
            if header.packet_type is None or len(data) < 1200 or header.version is None:
                return
            if header.packet_type.name != "INITIAL":
                return
            quic = QuicConnection(
                configuration=self.configuration, original_destination_connection_id=header.destination_cid
            )
            found = quic, ReceivingCore(quic), {}
            self._quics[header.destination_cid] = self._quics[quic.host_cid] = found
        found[1].hear(now)
        found[0].receive_datagram(data, CAMERA, now)
        self._events(*found, now)

    def poll(self, now: float) -> list[bytes]:
        """What is to be sent now."""
        sent = []
        for quic, core, streams in {id(one): one for one in self._quics.values()}.values():
            timer = quic.get_timer()
            if timer is not None and timer <= now:
                quic.handle_timer(now)
            self._events(quic, core, streams, now)
            sent += [data for data, _ in quic.datagrams_to_send(now)]
        return sent

    def _events(self, quic: QuicConnection, core: ReceivingCore, streams: dict[int, bytes], now: float) -> None:
        while (event := quic.next_event()) is not None:
            for incoming in core.take(event):
                if isinstance(incoming, Greeted):
                    self._greet(core, streams, incoming.stream, incoming.hello)
                elif isinstance(incoming, Arrived):
                    self._arrive(core, streams, incoming, now)
                elif isinstance(incoming.message, Report):
                    self.reports.append(incoming.message)
                elif isinstance(incoming.message, Bye):
                    self.counts[streams[incoming.stream]] = incoming.message.count
                    self._confirm(core, incoming.stream, streams[incoming.stream])
                else:
                    key = streams[incoming.stream]
                    self.orders[key].skip(incoming.message.first, incoming.message.last)

    def _greet(self, core: ReceivingCore, streams: dict[int, bytes], stream: int, hello: Hello) -> None:
        self.tokens.append(hello.token)
        if hello.token != self.token:
            core.refuse(stream, "the token is unknown")
            return
        streams[stream] = hello.key
        stored = self.upto.get(hello.key, 0)
        order = self.orders.setdefault(hello.key, FaceOrder(stored))
        held = tuple(order.held[:1000])
        core.tell(stream, Welcome(stored, order.holds_decoders and order.next >= stored, held))

    def _arrive(self, core: ReceivingCore, streams: dict[int, bytes], arrived: Arrived, now: float) -> None:
        key = streams.get(arrived.stream)
        if key is None:
            return
        store = self.stored.setdefault(key, {})
        for record in arrived.records:
            if arrived.is_live:
                self.live.append((now, record.face.number))
            for face in self.orders[key].add(record):
                if face.is_final:
                    self.doubled += face.number in store
                    store[face.number] = face.faces[0]
        self._confirm(core, arrived.stream, key)

    def _confirm(self, core: ReceivingCore, stream: int, key: bytes) -> None:
        order, before = self.orders[key], self.upto.get(key, 0)
        if not self.is_confirming:
            return
        self.upto[key] = max(before, order.next)
        is_over = self.counts.get(key) is not None and order.next >= self.counts[key]
        if order.next >= before + 10 or is_over:
            core.tell(stream, Stored(order.next))
        if is_over:
            core.tell(stream, Bye(self.counts[key]))


@dataclass
class Line:
    """Packets in flight in both directions, with loss, delay, jitter (which reorders), copies and a rate."""

    core: SendingCore
    server: Server
    now: float
    seed: int = 0
    loss: float = 0.0
    delay_s: float = 0.05
    jitter_s: float = 0.0
    copies: float = 0.0
    bps: float = 1e6
    is_cut: bool = False
    most_queue_s: float = 2.0
    carried: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._waiting: list[tuple[float, int, bool, bytes]] = []
        self._order = 0
        self._free = {True: self.now, False: self.now}

    def _put(self, data: bytes, is_up: bool) -> None:
        if is_up:
            self.carried.append(data)
        for _ in range(1 + (self.random.random() < self.copies)):
            free = max(self.now, self._free[is_up])
            if self.is_cut or self.random.random() < self.loss or free - self.now > self.most_queue_s:
                continue
            self._free[is_up] = free + 8 * (len(data) + 28) / self.bps
            due = self._free[is_up] + self.delay_s + self.random.uniform(0, self.jitter_s)
            self._order += 1
            heapq.heappush(self._waiting, (due, self._order, is_up, data))

    def step(self) -> None:
        """Do what is due, and let the clock go on by 20 ms."""
        for data in self.core.poll(self.now):
            self._put(data, True)
        for data in self.server.poll(self.now):
            self._put(data, False)
        self.now += 0.02
        while self._waiting and self._waiting[0][0] <= self.now:
            _, _, is_up, data = heapq.heappop(self._waiting)
            if is_up:
                self.server.receive(data, self.now)
            else:
                self.core.receive(data, self.now)

    def run(self, seconds: float) -> None:
        """Let `seconds` pass."""
        until = self.now + seconds
        while self.now < until:
            self.step()

    def run_until(self, state: State, most_s: float = 60.0) -> None:
        """Let time pass until the sender is in `state`."""
        until = self.now + most_s
        while self.core.state is not state:
            assert self.now < until, f"still {self.core.state.value}"
            self.step()

    def finish(self, most_s: float = 600.0) -> None:
        """End the recording and wait until all is stored."""
        self.core.end()
        until = self.now + most_s
        while not self.core.is_done:
            assert self.now < until, f"{self.core.state.value}, {self.core.behind} behind"
            self.step()
