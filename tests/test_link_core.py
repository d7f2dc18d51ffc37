"""The sender without sockets, under a virtual clock: loss, reordering, cuts, restarts, and who it talks to."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aioquic.quic.configuration import QuicConfiguration

from lowbeam.face import Face
from lowbeam.link.order import FaceOrder
from lowbeam.link.quic import Address, fingerprint, own_certificate, receiver_configuration
from lowbeam.link.recording_sender import RecordingSender, Repair
from lowbeam.link.records import ReceivedRecord
from lowbeam.link.sender_connection import SendingOptions
from lowbeam.link.sending_core import SendingCore, State
from lowbeam.link.spool import Spool
from lowbeam.scale import Faces
from tests.link_network import SERVER, Coded, Line, Server, code_faces, records_of, same_face

EVERY_S = 0.2


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return own_certificate(tmp_path_factory.mktemp("certificate"), "192.0.2.2")


@pytest.fixture
def configuration(certificate: tuple[Path, Path]) -> QuicConfiguration:
    return receiver_configuration(*certificate)


@pytest.fixture(scope="session")
def faces(hr_faces: Faces) -> list[Coded]:
    """Faces of one track that refer to each other, and begin again every 25."""
    return code_faces([*hr_faces, *hr_faces[::-1]], key_every=25)


class Camera:
    """A sender that adds real coded faces, and begins with a key face when it has to."""

    def __init__(self, faces: list[Coded], line: Line, recording: RecordingSender) -> None:
        self._faces, self._line, self._recording = faces, line, recording
        self._keys = [n for n, one in enumerate(faces) if one.coded.is_key]
        self._at = 0
        self.added: list[Coded] = []

    def film(self, seconds: float) -> None:
        """Add a face every 200 ms unless the link is choked."""
        core, line = self._line.core, self._line
        for _ in range(round(seconds / EVERY_S)):
            if core.may_code:
                if core.take_key_request():
                    self._at = next((key for key in self._keys if key >= self._at % len(self._faces)), 0)
                one = self._faces[self._at % len(self._faces)]
                self._at += 1
                time_ms = round(1000 * line.now)
                one = replace(one, coded=replace(one.coded, time_ms=time_ms))
                self._recording.add(one.coded, one.track, one.header, one.box, core.is_live())
                self.added.append(one)
            line.run(EVERY_S)


Start = Callable[..., tuple[Camera, Line, Server]]


@pytest.fixture
def start(configuration: QuicConfiguration, certificate: tuple[Path, Path], faces: list[Coded]) -> Start:
    def begin(
        spool: Spool | None = None, server: Server | None = None, token: str = "secret", pin: str | None = None,
        repair: Repair = Repair.CHEAPEST, **network: float,
    ) -> tuple[Camera, Line, Server]:  # fmt: skip
        held = spool or Spool()
        options = SendingOptions(
            Address("192.0.2.2", 7443), token, pin or fingerprint(certificate[0]), latency_s=0.2, repair=repair
        )  # fmt: skip
        recording = RecordingSender(held, held.begin("camera"), is_live=True, repair=repair)
        core = SendingCore(options, SERVER, held, recording, 1000.0)
        line = Line(core, server or Server(configuration), 1000.0, **network)  # type: ignore[arg-type]  # numbers
        return Camera(faces, line, recording), line, line.server

    return begin


def check(camera: Camera, server: Server) -> None:
    """Every face that was added is stored once, with the pixels that it has without loss."""
    (stored,) = server.stored.values()
    assert server.doubled == 0
    assert sorted(stored) == list(range(len(camera.added)))
    rows, headers = records_of(camera.added)
    order = FaceOrder()
    plain: dict[int, Face | None] = {}
    for row in rows:
        for one in order.add(ReceivedRecord(row, headers[row.header] if row.is_key else None)):
            plain[one.number] = one.faces[0]
    assert all(same_face(stored[number], plain[number]) for number in plain)
    assert all(one is not None for one in plain.values())


@pytest.mark.parametrize(("loss", "seed"), [(0.0, 0), (0.2, 1), (0.2, 2)])
def test_every_face_is_stored_once_over_a_lossy_line_that_reorders(start: Start, loss: float, seed: int) -> None:
    camera, line, server = start(loss=loss, seed=seed, jitter_s=0.15, copies=0.1, bps=16_000)
    camera.film(20)
    line.finish()
    check(camera, server)


def test_without_loss_faces_arrive_soon_after_they_are_made(start: Start) -> None:
    camera, line, server = start(bps=64_000)
    camera.film(2)
    line.run_until(State.LIVE)
    camera.film(10)
    delays = [now - camera.added[number].coded.time_ms / 1000 for now, number in server.live]
    assert len(delays) > 30
    assert sorted(delays)[len(delays) // 2] < 0.5


@pytest.mark.parametrize("repair", [Repair.RESEND, Repair.KEY])
def test_each_way_of_repair_ends_complete(start: Start, repair: Repair) -> None:
    camera, line, server = start(repair=repair, loss=0.15, seed=5, bps=16_000)
    camera.film(16)
    line.finish()
    check(camera, server)
    recording = camera._recording
    assert (recording.resent_bytes > 0) == (repair is Repair.RESEND)
    assert repair is Repair.RESEND or recording.keys_for_repair > 0


def test_a_cut_of_a_minute_is_filled_in(start: Start) -> None:
    camera, line, server = start(bps=16_000)
    camera.film(8)
    assert line.core.state is State.LIVE
    line.is_cut = True
    camera.film(60)
    assert line.core.state is State.STALLED
    assert line.core.behind > 200
    line.is_cut = False
    camera.film(4)
    line.run_until(State.LIVE, 20)
    camera.film(4)
    line.finish()
    check(camera, server)


@pytest.mark.parametrize("is_confirming", [True, False])
def test_a_receiver_that_restarts_loses_and_doubles_nothing(start: Start, is_confirming: bool) -> None:
    camera, line, server = start(bps=16_000, loss=0.05, seed=3)
    server.is_confirming = is_confirming
    camera.film(9)
    server.restart()
    if not is_confirming:  # what was not confirmed is lost with it
        server.stored.clear()
    camera.film(6)
    server.is_confirming = True
    line.run_until(State.LIVE, 90)
    camera.film(4)
    line.finish()
    check(camera, server)


def test_a_sender_that_restarts_sends_what_its_spool_holds(start: Start, tmp_path: Path, faces: list[Coded]) -> None:
    spool = Spool(tmp_path)
    camera, line, server = start(spool, bps=16_000)
    camera.film(6)
    line.is_cut = True
    camera.film(6)
    spool.close()  # kill -9
    again, line2, _ = start(Spool(tmp_path), server, bps=16_000)
    line2.now = line.now
    again.film(4)
    line2.finish()
    assert server.doubled == 0
    assert len(server.stored) == 2
    counts = sorted(len(one) for one in server.stored.values())
    assert counts == sorted([len(camera.added), len(again.added)])


def test_many_earlier_recordings_are_all_sent(start: Start, tmp_path: Path, faces: list[Coded]) -> None:
    spool = Spool(tmp_path)
    for _ in range(70):
        earlier = RecordingSender(spool, spool.begin("earlier"), is_live=True)
        for one in faces[:2]:
            earlier.add(one.coded, one.track, one.header, one.box, is_up=False)
    camera, line, server = start(spool, bps=64_000)
    camera.film(4)
    line.finish()
    assert sorted(map(len, server.stored.values()))[:70] == [2] * 70
    assert spool.recordings() == []


def test_no_queue_grows_while_the_link_is_choked(start: Start) -> None:
    camera, line, server = start(bps=16_000)
    camera.film(6)
    line.bps = 300.0
    waits = []
    for _ in range(18):
        camera.film(10)
        waits.append((len(camera._recording.unsent), len(camera._recording._out), line.core.estimate().in_flight))
    assert max(one[0] for one in waits) < 40
    assert max(one[1] for one in waits) < 200
    assert max(one[2] for one in waits) < 8000
    line.bps = 16_000
    line.run(30)
    camera.film(5)
    line.finish()
    check(camera, server)


def test_states_follow_the_line(start: Start) -> None:
    camera, line, _server = start(bps=16_000)
    assert line.core.state is State.CONNECTING
    line.run_until(State.LIVE)
    camera.film(3)
    line.is_cut = True
    camera.film(12)
    assert line.core.state is State.STALLED
    line.is_cut = False
    line.run_until(State.LIVE, 20)
    line.core.unreachable(line.now)
    assert line.core.state is State.WAITING
    line.run_until(State.LIVE, 30)
    line.core.close(line.now)
    assert line.core.state is State.CLOSED
    assert line.core.poll(line.now) == []


def test_a_wrong_pin_is_refused_before_the_token_is_sent(start: Start) -> None:
    _camera, line, server = start(pin="0" * 64)
    line.run_until(State.REFUSED)
    line.run(5)
    assert server.tokens == []
    assert "--pin" in line.core.why
    assert "\n" not in line.core.why


def test_a_wrong_token_is_refused_in_one_line(start: Start) -> None:
    _camera, line, _server = start(token="wrong")
    line.run_until(State.REFUSED)
    assert "the token is unknown" in line.core.why
    assert "\n" not in line.core.why
    assert "wrong" not in line.core.why


def test_the_token_is_in_no_text_and_not_readable_on_the_line(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    camera, line, server = start(token="a-very-secret-token")
    server.token = "a-very-secret-token"
    camera.film(4)
    assert server.tokens == ["a-very-secret-token"]
    assert "very-secret" not in repr(line.core.options) + str(line.core.options) + caplog.text
    assert not any(b"very-secret" in data for data in line.carried)
