"""The start of the live link and its steps in rate, in virtual time over simulated thin links (seeded)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from aioquic.buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType, encode_quic_retry, pull_quic_header

from benchmarks.link.lasting import lasting
from benchmarks.link.simulate import start, step
from benchmarks.link.simulation import CAMERA, LOSSES, Direction, Loss, Receiver, Simulation, material
from lowbeam.link.quic import CONNECTION_ID_BYTES
from lowbeam.link.receiving_core import ReceivingCore
from lowbeam.link.sending_core import State

NO_LOSS, SOME_LOSS = LOSSES[:2]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the receiver's certificate."""
    made = tmp_path_factory.mktemp("certificate")
    material(made)
    return made


class LosesUp(Direction):
    """Loses the packets with the given indexes, counted from 0."""

    def __init__(self, like: Direction, lost: set[int]) -> None:
        super().__init__(like.bps, NO_LOSS, like._chance)
        self._lost, self._count = lost, 0

    def _is_lost(self) -> bool:
        self._count += 1
        return self._count - 1 in self._lost


class AsksForProof(Receiver):
    """Asks each sender to prove its address (Retry)."""

    def __init__(self, configuration: QuicConfiguration) -> None:
        super().__init__(configuration)
        self._asked: list[bytes] = []

    def receive(self, data: bytes, now: float) -> None:
        header = pull_quic_header(Buffer(data=data), host_cid_length=CONNECTION_ID_BYTES)
        if header.destination_cid in self._quics or header.packet_type is not QuicPacketType.INITIAL:
            super().receive(data, now)
        elif not header.token:
            asked = encode_quic_retry(
                version=header.version or 0, source_cid=b"proof-id", destination_cid=header.source_cid,
                original_destination_cid=header.destination_cid, retry_token=header.destination_cid,
            )  # fmt: skip
            self._asked.append(asked)
        else:
            quic = QuicConnection(
                configuration=self._configuration, original_destination_connection_id=header.token,
                retry_source_connection_id=header.destination_cid,
            )  # fmt: skip
            self._quics[header.destination_cid] = self._quics[quic.host_cid] = quic, ReceivingCore(quic)
            super().receive(data, now)

    def poll(self, now: float) -> list[bytes]:
        asked, self._asked = self._asked, []
        return asked + super().poll(now)


@pytest.mark.parametrize(("kbps", "most_s"), [(1.0, 50.0), (4.0, 13.0), (64.0, 2.0)])
@pytest.mark.parametrize("up", [set(), {2}], ids=["nothing", "the proof"])
def test_a_proof_of_the_address_costs_a_round_trip_and_comes_again_if_lost(
    folder: Path, kbps: float, most_s: float, up: set[int]
) -> None:
    trial = Simulation(material(folder), kbps, NO_LOSS, seed=0)
    trial.receiver, trial.up = AsksForProof(trial.receiver._configuration), LosesUp(trial.up, up)
    trial.run(120.0, lambda: bool(trial.receiver.arrived))
    assert trial.live_s is not None
    assert trial.live_s < most_s + (4.0 + 24.0 / kbps if up else 0.0)
    assert trial.core.estimate().bps > 0.5 * min(1000 * kbps, 16_000.0)


def first_face_s(folder: Path, kbps: float, up: set[int], down: set[int]) -> float:
    """When the first face arrives over a link that loses packets `up` and `down`."""
    trial = Simulation(material(folder), kbps, NO_LOSS, seed=0)
    trial.up, trial.down = LosesUp(trial.up, up), LosesUp(trial.down, down)
    trial.run(120.0, lambda: bool(trial.receiver.arrived))
    found = trial.first_face_s()
    assert found is not None
    return found


@pytest.mark.parametrize(("kbps", "most_s"), [(1.0, 30.0), (2.0, 15.5), (4.0, 8.5), (16.0, 3.0)])
def test_the_first_face_follows_three_round_trips(folder: Path, kbps: float, most_s: float) -> None:
    live_s, first_s = start(0, kbps, NO_LOSS, folder)
    assert live_s is not None
    assert first_s is not None
    assert live_s < first_s < most_s


@pytest.mark.parametrize(
    ("up", "down"),
    [({0}, set()), (set(), {0}), ({2}, set()), (set(), {1, 2})],
    ids=["first packet", "its answer", "hello", "welcome"],
)
def test_a_lost_packet_of_the_handshake_at_2_kbps_costs_less_than_10_s(
    folder: Path, up: set[int], down: set[int]
) -> None:
    whole_s = first_face_s(folder, 2.0, set(), set())
    assert first_face_s(folder, 2.0, up, down) < whole_s + 10.0


def test_answers_that_are_lost_while_their_acknowledgements_pass_come_again(folder: Path) -> None:
    """The sender then has no first packet left that it could send again, and asks with small ones."""
    assert first_face_s(folder, 1.0, set(), {0, 2, 3}) < 90.0


@pytest.mark.parametrize("kbps", [1.0, 4.0, 1000.0])
@pytest.mark.parametrize("what", ["another protocol", "an unknown authority"])
def test_what_is_not_accepted_is_told_with_the_first_answer(folder: Path, what: str, kbps: float) -> None:
    known = material(folder)
    if what == "another protocol":
        known.configuration.alpn_protocols = ["other/1"]
    else:
        known = replace(known, options=replace(known.options, pin=None))
    trial = Simulation(known, kbps, NO_LOSS, seed=0)
    trial.run(60.0, lambda: trial.core.state is State.REFUSED)
    assert trial.core.state is State.REFUSED
    assert trial.now < 2 * 8 * 1228 / (1000 * kbps) + 2.0


def test_a_connection_of_which_only_garbage_came_ends_within_minutes(folder: Path) -> None:
    garbage = b"\xc3\0\0\0\1\x08original\x04peer\0" + (0x4000 | 1179).to_bytes(2, "big") + bytes(1179)
    quic = QuicConnection(
        configuration=material(folder).configuration, original_destination_connection_id=b"original"
    )  # fmt: skip
    core, now = ReceivingCore(quic), 100_000.0
    for _ in range(3):
        core.hear(now)
        quic.receive_datagram(garbage, CAMERA, now)
        assert not quic.datagrams_to_send(now)
        now += 0.1
    core.close("no hello")
    quic.datagrams_to_send(now)
    until_s = quic.get_timer()
    assert until_s is not None
    assert until_s < now + 180


def test_answers_to_a_lost_handshake_do_not_keep_a_sender_from_a_new_one(folder: Path) -> None:
    trial = Simulation(material(folder), 4.0, NO_LOSS, seed=0)
    trial.run(3.0)
    trial.receiver = Receiver(trial.receiver._configuration)  # starts again, and answers the copy that is on its way
    trial.run(120.0, lambda: bool(trial.receiver.arrived))
    assert trial.now < 70.0


def test_the_copy_of_the_first_packet_delays_nothing_on_a_slow_link(folder: Path) -> None:
    trial = Simulation(material(folder), 1.0, NO_LOSS, seed=0)
    trial.run(120.0, lambda: trial.live_s is not None)
    assert trial.now < 2 * 8 * 1228 / 1000 + 4.0  # the first packet and its answer, and the hello and its answer


def test_the_estimate_begins_near_the_rate_of_the_handshake(folder: Path) -> None:
    for kbps in (1.0, 16.0):
        trial = Simulation(material(folder), kbps, NO_LOSS, seed=0)
        trial.run(60.0, lambda trial=trial: trial.live_s is not None)  # type: ignore[misc]
        assert 0.8 < trial.core.estimate().bps / (1000 * kbps) < 1.1


@pytest.mark.parametrize(("loss", "seed"), [(NO_LOSS, 2), (NO_LOSS, 3), (SOME_LOSS, 1)])
def test_the_sender_is_back_soon_after_the_link_is(folder: Path, loss: Loss, seed: int) -> None:
    fits_s, back_s = step(seed, loss, folder)
    assert fits_s is not None
    assert fits_s < 14.0
    assert back_s is not None
    assert back_s < 10.0


def test_a_state_counts_once_it_lasts() -> None:
    at_s = np.arange(0.0, 10.0, 0.5)
    assert lasting(at_s, (at_s == 1.0) | (at_s >= 4.0), 0.0, 6.0) == 4.0
    assert lasting(at_s, at_s < 0.0, 0.0, 6.0) is None
