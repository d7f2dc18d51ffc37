"""A sender and a receiver in virtual time over a simulated thin link.

Both ends are those of the live link, without sockets; the link passes one packet after the other, and the coder is a
stand-in that makes faces of real sizes without pixels. Nothing waits for a clock, so many seeds can be compared.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from aioquic.buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType, pull_quic_header
from aioquic.tls import SessionTicket

from lowbeam.codec import CodedFace, TrackHeader
from lowbeam.codec.wire import IP_UDP, QUIC_DATAGRAM, QUIC_FACE, QUIC_PACKET
from lowbeam.link.messages import Bye, Gone, Stored, Welcome
from lowbeam.link.quic import (
    CONNECTION_ID_BYTES,
    MAX_DATAGRAM,
    Address,
    fingerprint,
    own_certificate,
    receiver_configuration,
)
from lowbeam.link.receiver_connection import STORED_S
from lowbeam.link.receiving_core import Arrived, Greeted, ReceivingCore
from lowbeam.link.recording_sender import RecordingSender
from lowbeam.link.sender_connection import SendingOptions
from lowbeam.link.sending_core import SendingCore, State
from lowbeam.link.spool import Spool

CAMERA, RECEIVER = ("192.0.2.1", 5000), ("192.0.2.2", 7443)
QUEUE_BYTES = 8000  # that may wait in each direction, as in the emulated network
DELAY_S = 0.02  # of propagation, in each direction
FPS = 25.0  # frames of the camera per second
CREDIT_S = 3.0  # of the budget that the coder may spend at once, as RateControl
FACE_BYTES = ((1000.0, 90), (2000.0, 90), (4000.0, 120), (8000.0, 170), (16_000.0, 210))  # by budget in bit/s, measured
KEY_SIZE = 3.0  # of a key face, relative to others
LIVELY, LIVELY_S = (0.4, 1.0), 5.0  # share of the budget that the coder uses, as faces are calm or lively
HEADER = TrackHeader("hevc", 4, 0, bytes(80))
LOOK_S = 0.1  # between looks at the link


@dataclass(frozen=True)
class Loss:
    """Packets that a link loses: each with probability `independent`, or in bursts (Gilbert-Elliott) that begin with
    probability `begins` at each packet, end with `ends`, and lose every packet."""

    name: str
    independent: float = 0.0
    begins: float = 0.0
    ends: float = 1.0


LOSSES = (Loss("0 %"), Loss("5 %", 0.05), Loss("20 %", 0.2), Loss("bursts of 3, 5 %", begins=0.0175, ends=1 / 3))


class Direction:
    """One direction of a link. A packet arrives when its last bit has passed, and `DELAY_S` later."""

    def __init__(self, bps: float, loss: Loss, chance: random.Random) -> None:
        self.bps, self._loss, self._chance = bps, loss, chance
        self._queue: deque[bytes] = deque()
        self._left_bits, self._now = 0.0, 0.0  # of the first packet
        self._is_burst = False
        self._flying: deque[tuple[float, bytes]] = deque()
        self.backlog = self.entered = self.passed = 0  # bytes

    def put(self, data: bytes, now: float) -> None:
        """A packet enters; it is dropped if too much waits."""
        self.advance(now)
        size = len(data) + IP_UDP
        self.entered += size
        if self.backlog + size > QUEUE_BYTES:
            return
        if not self._queue:
            self._left_bits = 8.0 * size
        self._queue.append(data)
        self.backlog += size

    def advance(self, now: float) -> None:
        """Let time pass."""
        while self._queue and (due := self._now + self._left_bits / self.bps) <= now + 1e-9:
            data = self._queue.popleft()
            self._now = due
            self.backlog -= len(data) + IP_UDP
            self.passed += len(data) + IP_UDP
            self._left_bits = 8.0 * (len(self._queue[0]) + IP_UDP) if self._queue else 0.0
            if not self._is_lost():
                self._flying.append((due + DELAY_S, data))
        self._left_bits = max(0.0, self._left_bits - (now - self._now) * self.bps)
        self._now = now

    def _is_lost(self) -> bool:
        loss = self._loss
        self._is_burst = self._chance.random() < (1 - loss.ends if self._is_burst else loss.begins)
        return self._is_burst or self._chance.random() < loss.independent

    def arrived(self, now: float) -> Iterator[bytes]:
        """The packets that have arrived."""
        self.advance(now)
        while self._flying and self._flying[0][0] <= now + 1e-9:
            yield self._flying.popleft()[1]

    def next_time(self) -> float:
        """When the next packet has passed or arrives."""
        passes = self._now + self._left_bits / self.bps if self._queue else float("inf")
        return min(passes, self._flying[0][0] if self._flying else float("inf"))


class Receiver:
    """Receivers of all connections of one sender, with the real protocol; faces are counted, not decoded."""

    def __init__(self, configuration: QuicConfiguration) -> None:
        self._configuration = configuration
        self._quics: dict[bytes, tuple[QuicConnection, ReceivingCore]] = {}
        self._tickets: dict[bytes, SessionTicket] = {}
        self.arrived: dict[int, tuple[float, bool]] = {}  # by number: when, and whether live
        self._greeted: tuple[ReceivingCore, int] | None = None  # the last connection that said hello, and its stream
        self._told_s = 0.0
        self._next = 0  # number before which all have come

    def _keep(self, ticket: SessionTicket) -> None:
        self._tickets[ticket.ticket] = ticket

    def receive(self, data: bytes, now: float) -> None:
        """A packet came."""
        header = pull_quic_header(Buffer(data=data), host_cid_length=CONNECTION_ID_BYTES)
        found = self._quics.get(header.destination_cid)
        if found is None:
            if header.packet_type is not QuicPacketType.INITIAL or len(data) < MAX_DATAGRAM:
                return
            quic = QuicConnection(
                configuration=self._configuration, original_destination_connection_id=header.destination_cid,
                session_ticket_fetcher=lambda label: self._tickets.pop(label, None), session_ticket_handler=self._keep,
            )  # fmt: skip
            found = quic, ReceivingCore(quic)
            self._quics[header.destination_cid] = self._quics[quic.host_cid] = found
        found[1].hear(now)
        found[0].receive_datagram(data, CAMERA, now)
        self._take(*found, now)

    def _take(self, quic: QuicConnection, core: ReceivingCore, now: float) -> None:
        while (event := quic.next_event()) is not None:
            for incoming in core.take(event):
                if isinstance(incoming, Greeted):
                    held = tuple(sorted(number for number in self.arrived if number > self._next))
                    if self._greeted is not None and self._greeted[0] is not core:
                        self._greeted[0].close("replaced")
                    self._greeted = core, incoming.stream
                    core.tell(incoming.stream, Welcome(self._next, bool(self.arrived), held))
                elif isinstance(incoming, Arrived):
                    for record in incoming.records:
                        self.arrived.setdefault(record.face.number, (now, incoming.is_live))
                elif isinstance(incoming.message, Gone):
                    for number in range(incoming.message.first, incoming.message.last + 1):
                        self.arrived.setdefault(number, (now, False))
                elif isinstance(incoming.message, Bye):
                    core.tell(incoming.stream, incoming.message)
        while self._next in self.arrived:
            self._next += 1
        if self._greeted is not None and now - self._told_s > STORED_S:
            self._told_s = now
            self._greeted[0].tell(self._greeted[1], Stored(self._next))

    def poll(self, now: float) -> list[bytes]:
        """What is to be sent now."""
        sent = []
        for quic, core in {id(one): one for one in self._quics.values()}.values():
            timer = quic.get_timer()
            if timer is not None and timer <= now:
                quic.handle_timer(now)
            self._take(quic, core, now)
            sent += [data for data, _ in quic.datagrams_to_send(now)]
        return sent

    def next_time(self) -> float:
        """When `poll` is due."""
        timers = [quic.get_timer() for quic, _ in self._quics.values()]
        return min((timer for timer in timers if timer is not None), default=float("inf"))


@dataclass
class Coder:
    """Makes faces as the sender's budget allows."""

    core: SendingCore
    recording: RecordingSender
    chance: random.Random
    made_s: list[float] = field(default_factory=list)  # by number
    _tokens: float = 0.0  # bytes
    _lively: float = 1.0
    _lively_until_s: float = 0.0
    _is_begun: bool = False

    def frame(self, now: float, started_s: float) -> bool:
        """A frame of the camera, 1 / `FPS` seconds after the last; returns whether a face was made of it."""
        if now >= self._lively_until_s:
            self._lively, self._lively_until_s = self.chance.uniform(*LIVELY), now + LIVELY_S
        bps = self.core.budget_bps
        self._tokens = min(self._tokens + self._lively * bps / 8 / FPS, CREDIT_S * bps / 8)
        if not self.core.may_code:
            return False
        is_key = not self._is_begun or (self.core.state is State.LIVE and self.recording.wants_key)
        rates, sizes = zip(*FACE_BYTES, strict=True)
        size = (
            float(np.interp(bps, rates, sizes)) * self.chance.lognormvariate(-0.03, 0.25) * (KEY_SIZE if is_key else 1)
        )
        cost = min(size + QUIC_FACE + QUIC_PACKET + QUIC_DATAGRAM, CREDIT_S * bps / 8)
        if self._tokens < cost:
            return False
        self._tokens -= cost
        self.core.take_key_request()
        self._is_begun = True
        face = CodedFace(bytes(round(size)), round(1000 * (now - started_s)), is_key)
        self.recording.add(face, 1, HEADER, None, self.core.is_live())
        self.made_s.append(now)
        return True


class Simulation:
    """A sender, a link of `kbps` in both directions, and a receiver; time begins at 0."""

    def __init__(self, material: "Material", kbps: float, loss: Loss, seed: int) -> None:
        self.chance = random.Random(seed)
        random.seed(seed)  # the sender's own, of its pauses
        self.now = 0.0
        spool = Spool()
        recording = RecordingSender(spool, spool.begin("camera"), is_live=True)
        self.core = SendingCore(material.options, RECEIVER, spool, recording, self.now)
        self.receiver = Receiver(material.configuration)
        self.coder = Coder(self.core, recording, random.Random(seed + 1))
        self.up, self.down = (Direction(1000 * kbps, loss, self.chance) for _ in range(2))
        self._frame_s = self._look_s = 0.0
        self.live_s: float | None = None
        self.seen: list[tuple[float, float, int, int]] = []  # time, budget in bit/s, bytes entered, backlog in bytes

    def set_rate(self, kbps: float) -> None:
        """The link carries `kbps` from now on."""
        for one in (self.up, self.down):
            one.advance(self.now)
            one.bps = 1000 * kbps

    def run(self, until_s: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Let time pass."""
        while self.now < until_s and not is_over():
            for data in self.up.arrived(self.now):
                self.receiver.receive(data, self.now)
            for data in self.down.arrived(self.now):
                self.core.receive(data, self.now)
            if self.now >= self._frame_s:
                self._frame_s += 1 / FPS
                self.coder.frame(self.now, 0.0)
            for data in self.core.poll(self.now):
                self.up.put(data, self.now)
            for data in self.receiver.poll(self.now):
                self.down.put(data, self.now)
            if self.live_s is None and self.core.state is State.LIVE:
                self.live_s = self.now
            if self.now >= self._look_s:
                self._look_s += LOOK_S
                self.seen.append((self.now, self.core.budget_bps, self.up.entered, self.up.backlog))
            times = (self.up.next_time(), self.down.next_time(), self.core.next_time(self.now), self._frame_s)
            self.now = max(self.now + 1e-6, min(*times, self.receiver.next_time(), self._look_s))

    def first_face_s(self) -> float | None:
        """When the first face arrived."""
        return min((when for when, _ in self.receiver.arrived.values()), default=None)

    def delays_s(self, since_s: float) -> list[float]:
        """From making to arrival, of the live faces that were made since then and arrived."""
        return [
            when - self.coder.made_s[number]
            for number, (when, is_live) in self.receiver.arrived.items()
            if is_live and self.coder.made_s[number] >= since_s
        ]


@dataclass(frozen=True)
class Material:
    """What both ends need to know of each other."""

    configuration: QuicConfiguration
    options: SendingOptions


def material(folder: Path) -> Material:
    """A receiver with a certificate of its own, which is made in `folder`, and a sender that knows it."""
    certificate, key = own_certificate(folder, RECEIVER[0])
    options = SendingOptions(Address(*RECEIVER), "a token of usual length, 32 bytes", fingerprint(certificate))
    return Material(receiver_configuration(certificate, key), options)
