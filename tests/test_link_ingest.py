"""What the server makes of the faces of the link."""

import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aioquic", reason="aioquic comes with the extra link")
pytest.importorskip("sqlalchemy", reason="SQLAlchemy comes with the extra serve")

from aioquic.quic.events import HandshakeCompleted

from lowbeam.codec import OperatingPoint
from lowbeam.codec.layers import Layers
from lowbeam.codec.policy import Fixed
from lowbeam.errors import OutputError
from lowbeam.face import Box, Face
from lowbeam.link import Accepted, Address, Hello, Receiver, Sender, SendingOptions, Spool, fingerprint, own_certificate
from lowbeam.link.quic import sender_connection
from lowbeam.link.sending_core import State
from lowbeam.recognize import Recognizer
from lowbeam.scale import Faces
from lowbeam.server import batches
from lowbeam.server.hub import Hub
from lowbeam.server.link_ingest import LinkIngest
from lowbeam.server.store import Store
from lowbeam.server.store.recordings import Recordings
from lowbeam.server.workers import Workers
from tests.ports import free_port

PORT = free_port()


def send(faces: Faces, token: str, pin: str) -> bool:
    options = SendingOptions(Address("127.0.0.1", PORT), token, pin)
    with Sender(options, Spool(), Layers([Fixed(OperatingPoint("hevc", 8, 32, 25))]), name="camera") as sender:
        for index, pixels in enumerate(faces):
            sender.send(index / 25, [Face(index / 25, 0, Box(10.0, 10.0, 80.0), pixels)])
            time.sleep(0.04)
        return sender.finish(20)


async def ingested(folder: Path, faces: Faces) -> list[tuple[int, bool]]:
    """Send `faces` through the link into a store; the numbers that it has, and whether each is final."""
    store, workers = await Store.open(f"sqlite:///{folder / 'store.sqlite'}"), Workers(count=1)
    sender, token = await store.accounts.add_sender("camera")
    certificate, key = own_certificate(folder, "127.0.0.1")
    ingest = LinkIngest(store, Hub(), workers)
    async with Receiver(certificate, key, authorize=ingest.authorize, port=PORT, stores_itself=True) as receiver:
        running = asyncio.create_task(ingest.run(receiver))
        assert await asyncio.to_thread(send, faces, token, fingerprint(certificate))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    pages = [page async for page in store.recordings.rows(sender.id, 0.0, time.time() + 60)]
    workers.close()
    await store.close()
    return [(row.number, row.is_final) for page in pages for _, _, row in page]


def test_a_sender_that_connects_again_resumes_its_session(tmp_path: Path) -> None:
    certificate, key = own_certificate(tmp_path, "127.0.0.1")

    def connect_twice() -> bool:
        options = SendingOptions(Address("127.0.0.1", PORT), "token", fingerprint(certificate))
        with Sender(options, Spool(), Layers([Fixed(OperatingPoint())]), name="camera") as sender:
            wait_until_live(sender)
            time.sleep(0.5)  # for the ticket
            with sender._lock:
                sender.core.unreachable(time.monotonic())
            wait_until_live(sender)
            return bool(sender.core._connection.quic.tls.session_resumed)

    async def run() -> bool:
        async def authorize(hello: Hello, address: str) -> Accepted:
            return Accepted("camera")

        async with Receiver(certificate, key, authorize=authorize, port=PORT):
            return await asyncio.to_thread(connect_twice)

    assert asyncio.run(run())


def test_faces_that_arrived_are_not_sent_again_after_a_new_connection(tmp_path: Path, hr_faces: Faces) -> None:
    certificate, key = own_certificate(tmp_path, "127.0.0.1")

    def send_and_reconnect() -> int:
        options = SendingOptions(Address("127.0.0.1", PORT), "token", fingerprint(certificate))
        with Sender(options, Spool(), Layers([Fixed(OperatingPoint("hevc", 8, 32, 25))]), name="camera") as sender:
            wait_until_live(sender)
            for index, pixels in enumerate(hr_faces[:20]):
                sender.send(index / 25, [Face(index / 25, 0, Box(10.0, 10.0, 80.0), pixels)])
                time.sleep(0.05)
            time.sleep(1)
            with sender._lock:
                sender.core.unreachable(time.monotonic())
                assert sender.core.state is State.WAITING
            wait_until_live(sender)
            return sender.core.behind

    async def run() -> int:
        async def authorize(hello: Hello, address: str) -> Accepted:
            return Accepted("camera")

        async with Receiver(certificate, key, authorize=authorize, port=PORT, stores_itself=True):
            return await asyncio.to_thread(send_and_reconnect)

    assert asyncio.run(run()) == 0


def test_faces_from_before_the_network_came_are_stored(
    tmp_path: Path, hr_faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve, calls = socket.getaddrinfo, []

    def late(host: str, port: int, *arguments: Any, **named: Any) -> Any:
        is_senders = named == {"type": socket.SOCK_DGRAM}
        calls.append(is_senders)
        if is_senders and sum(calls) < 4:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return resolve(host, port, *arguments, **named)

    monkeypatch.setattr("lowbeam.link.sender.RENEW_S", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", late)
    assert asyncio.run(ingested(tmp_path, hr_faces[:25])) == [(number, True) for number in range(25)]


def test_connections_that_are_never_completed_cost_no_memory_and_no_sender_its_place(tmp_path: Path) -> None:
    certificate, key = own_certificate(tmp_path, "127.0.0.1")
    pin, address = fingerprint(certificate), Address("127.0.0.1", PORT)

    def attack_and_connect() -> None:
        for _ in range(60):
            quic = sender_connection(address, pin, None, lambda ticket: None)
            quic.connect(("127.0.0.1", PORT), time.monotonic())
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
                for data, _ in quic.datagrams_to_send(time.monotonic()):
                    made.sendto(data, ("127.0.0.1", PORT))
            time.sleep(0.005)
        with Sender(
            SendingOptions(address, "token", pin), Spool(), Layers([Fixed(OperatingPoint())]), name="camera"
        ) as sender:
            wait_until_live(sender)

    async def run() -> int:
        async def authorize(hello: Hello, address: str) -> Accepted:
            return Accepted("camera")

        async with Receiver(certificate, key, authorize=authorize, port=PORT) as receiver:
            await asyncio.to_thread(attack_and_connect)
            return len(receiver.connections)

    assert asyncio.run(run()) <= 21


def test_a_sender_whose_hello_meets_a_defect_tries_again(tmp_path: Path) -> None:
    certificate, key = own_certificate(tmp_path, "127.0.0.1")
    calls: list[Hello] = []

    def connect() -> None:
        options = SendingOptions(Address("127.0.0.1", PORT), "token", fingerprint(certificate))
        with Sender(options, Spool(), Layers([Fixed(OperatingPoint())]), name="camera") as sender:
            wait_until_live(sender)

    async def run() -> None:
        async def authorize(hello: Hello, address: str) -> Accepted:
            calls.append(hello)
            if len(calls) == 1:
                raise RuntimeError("a defect")
            return Accepted("camera")

        async with Receiver(certificate, key, authorize=authorize, port=PORT):
            await asyncio.to_thread(connect)

    asyncio.run(run())
    assert len(calls) == 2


def test_the_proof_of_an_address_is_taken_when_none_is_asked_for_any_more(tmp_path: Path) -> None:
    certificate, key = own_certificate(tmp_path, "127.0.0.1")
    place = "127.0.0.1", PORT
    quic = sender_connection(Address(*place), fingerprint(certificate), None, lambda ticket: None)
    quic.connect(place, time.monotonic())

    def exchange(made: socket.socket) -> None:
        for data, _ in quic.datagrams_to_send(time.monotonic()):
            made.sendto(data, place)
        quic.receive_datagram(made.recv(2000), place, time.monotonic())

    async def run() -> None:
        async def authorize(hello: Hello, address: str) -> Accepted:
            return Accepted("camera")

        async with Receiver(certificate, key, authorize=authorize, port=PORT) as receiver:
            server: Any = receiver._server
            server._proof_until_s = time.monotonic() + 60
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
                made.settimeout(5)
                await asyncio.to_thread(exchange, made)
                assert not receiver.connections
                server._proof_until_s = 0.0
                await asyncio.to_thread(exchange, made)

    asyncio.run(run())
    assert any(isinstance(event, HandshakeCompleted) for event in iter(quic.next_event, None))


def test_a_certificate_that_no_authority_signed_is_refused_without_a_pin(tmp_path: Path) -> None:
    certificate, key = own_certificate(tmp_path, "127.0.0.1")

    def connect() -> None:
        options = SendingOptions(Address("127.0.0.1", PORT), "secret-token")
        with Sender(options, Spool(), Layers([Fixed(OperatingPoint())]), name="camera") as sender:
            sender.finish(10)

    async def run() -> None:
        async def authorize(hello: Hello, address: str) -> Accepted:
            raise AssertionError("the token was sent")

        async with Receiver(certificate, key, authorize=authorize, port=PORT):
            with pytest.raises(OutputError, match="does not accept the connection") as error:
                await asyncio.to_thread(connect)
        assert "secret-token" not in str(error.value)
        assert "\n" not in str(error.value)

    asyncio.run(run())


def wait_until_live(sender: Sender) -> None:
    until = time.monotonic() + 20
    while sender.core.state is not State.LIVE:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_every_face_is_stored_once_and_in_order(tmp_path: Path, hr_faces: Faces) -> None:
    assert asyncio.run(ingested(tmp_path, hr_faces[:25])) == [(number, True) for number in range(25)]


def test_faces_that_could_not_be_estimated_are_sent_again(
    tmp_path: Path, hr_faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow, calls = Recognizer.follow_people, []

    def failing(self: Recognizer, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("a defect")
        return follow(self, *arguments)

    monkeypatch.setattr(Recognizer, "follow_people", failing)
    assert asyncio.run(ingested(tmp_path, hr_faces[:25])) == [(number, True) for number in range(25)]
    assert len(calls) > 3


def test_a_store_that_is_away_for_longer_than_the_server_waits_gets_every_face_in_the_end(
    tmp_path: Path, hr_faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, calls = Recordings.append, []

    async def failing(self: Recordings, *arguments: Any) -> None:
        calls.append(1)
        if 2 < len(calls) < 8:
            raise OutputError("the store is away")
        await append(self, *arguments)

    monkeypatch.setattr(Recordings, "append", failing)
    monkeypatch.setattr(batches, "RETRY_S", 0.05)
    monkeypatch.setattr(batches, "PATIENCE_S", 0.1)
    assert asyncio.run(ingested(tmp_path, hr_faces[:25])) == [(number, True) for number in range(25)]
    assert len(calls) > 8


def test_a_stream_of_which_too_much_waits_is_ended_and_stored_in_the_end(
    tmp_path: Path, hr_faces: Faces, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    append, calls = Recordings.append, []

    async def slow_at_first(self: Recordings, *arguments: Any) -> None:
        calls.append(1)
        await asyncio.sleep(1.0 if len(calls) == 2 else 0.0)
        await append(self, *arguments)

    monkeypatch.setattr(Recordings, "append", slow_at_first)
    monkeypatch.setattr("lowbeam.server.link_ingest.MOST_WAITING", 12)
    assert asyncio.run(ingested(tmp_path, hr_faces[:25])) == [(number, True) for number in range(25)]
    assert "the link from 127.0.0.1 is closed" in caplog.text
