"""A sender and a receiver in virtual time over a simulated thin link: ``python -m benchmarks.link.simulate``.

Both ends are those of the live link, without sockets; the link passes one packet after the other, and the coder is a
stand-in that makes faces of real sizes without pixels. Nothing waits for a clock, so many seeds can be compared: time
to the first face, steps of the rate, and constant rates. Writes ``benchmarks/results/link-start.json``; figures of an
earlier state of the code are kept in it with ``--as before``.
"""

import argparse
import json
import logging
import random
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from aioquic.buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType, pull_quic_header
from aioquic.tls import SessionTicket

from benchmarks.link.lasting import BACK, DOWN_S, UP_S, fits, lasting, sent_bps
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

RESULT = Path(__file__).parents[1] / "results" / "link-start.json"
CAMERA, RECEIVER = ("192.0.2.1", 5000), ("192.0.2.2", 7443)
QUEUE_BYTES = 8000  # that may wait in each direction, as in the emulated network
DELAY_S = 0.02  # of propagation, in each direction
FPS = 25.0  # frames of the camera per second
CREDIT_S = 3.0  # of the budget that the coder may spend at once, as RateControl
FACE_BYTES = ((1000.0, 90), (2000.0, 90), (4000.0, 120), (8000.0, 170), (16_000.0, 210))  # by budget in bit/s, measured
KEY_SIZE = 3.0  # of a key face, relative to others
LIVELY, LIVELY_S = (0.4, 1.0), 5.0  # share of the budget that the coder uses, as faces are calm or lively
HEADER = TrackHeader("hevc", 4, 0, bytes(80))
RATES_KBPS = (1.0, 2.0, 4.0, 8.0, 16.0)
START_S = 180.0  # after which a start counts as failed
STEADY_S, WARM_S = 120.0, 20.0  # at a constant rate, after the time to get live
STEP_KBPS, STEP_END_S = (16.0, 2.0), 120.0  # the latter after the sender is live, as the times of the steps
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


def start(seed: int, kbps: float, loss: Loss, folder: Path) -> tuple[float | None, float | None]:
    """Seconds until the sender is live and until the first face has arrived; None if not within `START_S`."""
    trial = Simulation(material(folder), kbps, loss, seed)
    trial.run(START_S, lambda: bool(trial.receiver.arrived))
    return trial.live_s, trial.first_face_s()


def step(seed: int, loss: Loss, folder: Path) -> tuple[float | None, float | None]:
    """Seconds until the sender fits after the link has become thin, and until it is back; None if it never does."""
    high, low = STEP_KBPS
    trial = Simulation(material(folder), high, loss, seed)
    trial.run(START_S, lambda: trial.live_s is not None)
    begun_s = trial.now
    trial.run(begun_s + DOWN_S)
    trial.set_rate(low)
    trial.run(begun_s + UP_S)
    trial.set_rate(high)
    trial.run(begun_s + STEP_END_S)
    at_s, budget, entered, backlog = (np.array(column, float) for column in zip(*trial.seen, strict=True))
    down_s, up_s = begun_s + DOWN_S, begun_s + UP_S
    is_fit = fits(sent_bps(at_s, entered), backlog, 1000 * low)
    usual = min(float(budget[(at_s > down_s - 10) & (at_s < down_s)].mean()), 1000 * high)
    return lasting(at_s, is_fit, down_s, up_s), lasting(at_s, budget >= BACK * usual, up_s, at_s[-1])


def steady(seed: int, kbps: float, loss: Loss, folder: Path) -> dict[str, float]:
    """At a constant rate, from `WARM_S` after the start: share of the rate that was sent, share of faces that arrived
    live, their delays, share of time with more than a second in the queue, and the budget's share of the rate and its
    deviation."""
    trial = Simulation(material(folder), kbps, loss, seed)
    trial.run(START_S, lambda: trial.live_s is not None)
    since_s = trial.now + WARM_S
    trial.run(since_s + STEADY_S)
    seen = np.array([row for row in trial.seen if row[0] >= since_s], float)
    delays = trial.delays_s(since_s)
    made = sum(one >= since_s for one in trial.coder.made_s)
    return {
        "sent_share": 8 * (seen[-1, 2] - seen[0, 2]) / STEADY_S / (1000 * kbps),
        "faces_per_s": made / STEADY_S, "live_share": len(delays) / max(made, 1),
        "delay_p50_s": float(np.percentile(delays, 50)) if delays else START_S,
        "delay_p95_s": float(np.percentile(delays, 95)) if delays else START_S,
        "queue_above_1s": float((8 * seen[:, 3] / (1000 * kbps) > 1.0).mean()),
        "budget_share": float(seen[:, 1].mean() / (1000 * kbps)),
        "budget_deviation": float(seen[:, 1].std() / (1000 * kbps)),
    }  # fmt: skip


def spread(values: list[float | None], most: float) -> dict[str, Any]:
    """Median, 95th percentile and largest of `values`, of which None counts as `most`, and how many are None."""
    found = [most if value is None else value for value in values]
    p50, p95 = np.percentile(found, [50, 95])
    missing = sum(value is None for value in values)
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2), "max": round(max(found), 2), "missing": missing}


def measure(seeds: int, parts: list[str], folder: Path, save: Callable[[dict[str, Any]], None]) -> None:
    """Measure `parts`, and hand all that is known to `save` after each point."""
    found: dict[str, Any] = {}
    with ProcessPoolExecutor(2) as pool:
        for kbps in RATES_KBPS if "start" in parts else ():
            for loss in LOSSES:
                pairs = [*pool.map(partial(start, kbps=kbps, loss=loss, folder=folder), range(seeds))]
                live, first = ([one[column] for one in pairs] for column in (0, 1))
                found.setdefault("start", []).append(
                    {
                        "kbps": kbps,
                        "loss": loss.name,
                        "live_s": spread(live, START_S),
                        "first_s": spread(first, START_S),
                    }
                )
                save(found)
        for loss in LOSSES[:2] if "step" in parts else ():
            pairs = [*pool.map(partial(step, loss=loss, folder=folder), range(seeds))]
            fit, back = ([one[column] for one in pairs] for column in (0, 1))
            most = UP_S - DOWN_S, STEP_END_S - UP_S
            found.setdefault("step", []).append(
                {"loss": loss.name, "fits_s": spread(fit, most[0]), "back_s": spread(back, most[1])}
            )
            save(found)
        for kbps in RATES_KBPS if "steady" in parts else ():
            for loss in LOSSES:
                rows = [*pool.map(partial(steady, kbps=kbps, loss=loss, folder=folder), range(max(1, seeds // 4)))]
                means = {name: round(float(np.mean([row[name] for row in rows])), 3) for name in rows[0]}
                found.setdefault("steady", []).append({"kbps": kbps, "loss": loss.name, **means})
                save(found)


def main() -> None:
    """Measure, print, and write the results after each point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--as", dest="name", default="now", help="name of this state of the code")
    parser.add_argument("--parts", nargs="+", default=["start", "step", "steady"])
    parser.add_argument("--result", type=Path, default=RESULT)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    results: dict[str, Any] = json.loads(given.result.read_text()) if given.result.exists() else {}
    before = results.get(given.name, {})

    def save(found: dict[str, Any]) -> None:
        print(*[part[-1] for part in list(found.values())[-1:]], flush=True)
        results[given.name] = {**before, **found, "seeds": given.seeds}
        given.result.write_text(json.dumps(results, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as folder:
        material(Path(folder))  # makes the certificate
        measure(given.seeds, given.parts, Path(folder), save)


if __name__ == "__main__":
    main()
