"""Receiver and sender over real sockets and an emulated link, with guests that mean no good."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aioquic.asyncio.client import connect
from aioquic.quic.configuration import QuicConfiguration

from lowbeam.errors import OutputError
from lowbeam.face import Box, Face
from lowbeam.link.incoming import Accepted, Incoming, ReceivedFace
from lowbeam.link.messages import Bye, Fill, Gone, Hello, write_message
from lowbeam.link.policy import link_layers
from lowbeam.link.quic import ALPN, Address, fingerprint, own_certificate
from lowbeam.link.receiver import Receiver
from lowbeam.link.sender import Sender
from lowbeam.link.sender_connection import SendingOptions
from lowbeam.link.sending_core import State
from lowbeam.link.spool import Spool
from lowbeam.scale import Faces
from tests.ports import free_port
from tools.relay import Relay

TOKEN = "open-sesame"

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Listening:
    """A receiver on a free port, and what it has received."""

    def __init__(self, receiver: Receiver, port: int, pin: str) -> None:
        self.receiver, self.port, self.pin = receiver, port, pin
        self.faces: list[ReceivedFace] = []
        self.recordings: dict[bytes, Incoming] = {}

    async def take(self) -> None:
        async for item in self.receiver:
            self.recordings[item.recording.key] = item.recording
            if isinstance(item, ReceivedFace):
                self.faces.append(item)

    @property
    def final(self) -> list[int]:
        return [one.decoded.number for one in self.faces if one.decoded.is_final]


async def authorize(hello: Hello, address: str) -> Accepted | str:
    if hello.token == "later":
        raise OutputError("the store is down")
    return Accepted(hello.name) if hello.token == TOKEN else "the token is unknown"


@pytest.fixture
async def listening(tmp_path: Path) -> AsyncIterator[Listening]:
    certificate, key = own_certificate(tmp_path, "127.0.0.1")
    port = free_port()
    async with Receiver(certificate, key, authorize=authorize, port=port) as receiver:
        made = Listening(receiver, port, fingerprint(certificate))
        task = asyncio.create_task(made.take())
        yield made
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Filming:
    """A sender in a thread that sends real faces for some seconds, and finishes."""

    def __init__(self, port: int, pin: str, faces: Faces, token: str = TOKEN, spool: Spool | None = None) -> None:
        self._faces, self._policy = faces, link_layers()
        options = SendingOptions(Address("127.0.0.1", port), token, pin, latency_s=0.1)
        self.sender = Sender(options, spool or Spool(), self._policy, name="camera")
        self.coded, self._time_s = 0, 0.0

    def film(self, seconds: float, is_real_time: bool = True) -> None:
        import time

        for _ in range(round(seconds * 12.5)):
            self._time_s += 0.08
            if is_real_time:
                time.sleep(0.08)
            self._policy.follow(self.sender.budget_bps, not self.sender.may_code, self._time_s)
            if self._policy.looks_at(self._time_s):
                pixels = self._faces[round(self._time_s * 25) % len(self._faces)]
                self.coded += self.sender.send(self._time_s, [Face(self._time_s, 0, Box(10.0, 10.0, 80.0), pixels)])

    def wait(self, state: State, most_s: float = 20.0) -> None:
        import time

        until = time.monotonic() + most_s
        while self.sender.core.state is not state:
            assert time.monotonic() < until, f"still {self.sender.core.state.value}"
            time.sleep(0.02)


async def in_thread(function: Callable[..., Any], *arguments: object) -> Any:
    return await asyncio.to_thread(function, *arguments)


async def film_and_check(listening: Listening, faces: Faces, seconds: float = 1.5) -> None:
    """An honest sender gets everything stored."""
    known = len(listening.final)
    filming = Filming(listening.port, listening.pin, faces)
    try:
        await in_thread(filming.wait, State.LIVE)
        await in_thread(filming.film, seconds)
        assert await in_thread(filming.sender.finish, 10.0)
    finally:
        await in_thread(filming.sender.close)
    assert sorted(listening.final[known:]) == list(range(filming.coded))
    assert filming.coded > 3
    await asyncio.sleep(0.1)
    done = [one for one in listening.recordings.values() if one.is_complete]
    assert done
    assert not any(one.order.holds_decoders for one in done)  # their memory is free


async def test_faces_arrive_live_and_all_are_stored_in_the_end(listening: Listening, hr_faces: Faces) -> None:
    with Relay(("127.0.0.1", listening.port), bps=16_000, delay_s=0.02, loss=0.1, seed=3) as relay:
        filming = Filming(relay.port, listening.pin, hr_faces)
        await in_thread(filming.wait, State.LIVE)
        await in_thread(filming.film, 4.0)
        assert any(one.is_live for one in listening.faces)
        assert await in_thread(filming.sender.finish, 15.0)
        await in_thread(filming.sender.close)
    assert sorted(listening.final) == list(range(filming.coded))
    assert filming.coded > 3


async def test_a_sender_goes_on_after_its_address_has_changed(listening: Listening, hr_faces: Faces) -> None:
    filming = Filming(listening.port, listening.pin, hr_faces)
    await in_thread(filming.wait, State.LIVE)
    await in_thread(filming.film, 1.0)
    (connection,) = listening.receiver.connections
    before = filming.sender._socket.getsockname()
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 0))
    filming.sender._socket.connect(silent.getsockname())  # a hole: nothing comes back
    await in_thread(filming.film, 1.0)
    await in_thread(filming.wait, State.STALLED, 15.0)
    await in_thread(filming.wait, State.LIVE, 15.0)
    assert filming.sender._socket.getsockname() != before
    core = filming.sender.core
    assert await in_thread(filming.sender.finish, 15.0), (core.state, core.behind, core.estimate().bps)
    assert listening.receiver.connections == {connection}  # the same connection, by QUIC's migration
    await in_thread(filming.sender.close)
    silent.close()
    assert sorted(listening.final) == list(range(filming.coded))


async def test_random_datagrams_disturb_nothing(listening: Listening, hr_faces: Faces) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as guest:
        for size in (1, 20, 200, 1200, 1472) * 100:
            guest.sendto(os.urandom(size), ("127.0.0.1", listening.port))
            guest.sendto(b"\xc0\0\0\0\1\x08" + os.urandom(1250), ("127.0.0.1", listening.port))
            await asyncio.sleep(0)
        await film_and_check(listening, hr_faces)
    await asyncio.sleep(0.1)
    assert len(listening.receiver.connections) <= 600


def guest(alpn: str = ALPN) -> QuicConfiguration:
    configuration = QuicConfiguration(is_client=True, alpn_protocols=[alpn], max_datagram_frame_size=1200)
    configuration.verify_mode = 0  # type: ignore[assignment]  # ssl.CERT_NONE
    return configuration


HELLO = write_message(Hello(TOKEN, b"k" * 16, 0, "liar", 0))
HUGE = HELLO[:2] + b"\x09" + b"x" * 70_000
ATTACKS = {
    "rubbish": [b"\x40" + os.urandom(3000)],
    "a message without hello": [write_message(Bye(3))],
    "an endless first message": [b"\xff\xff\x01\x01" + b"x" * 60_000, b"x" * 60_000],
    "two hellos": [HELLO, HELLO],
    "impossible length": [HELLO, b"\0\0"],
    "rubbish after hello": [HELLO, b"\0\x10\x09" + b"\xff" * 15],
}


@pytest.mark.parametrize("name", ATTACKS)
async def test_a_sender_that_breaks_the_protocol_is_cut_off(listening: Listening, name: str, hr_faces: Faces) -> None:
    async with connect("127.0.0.1", listening.port, configuration=guest()) as client:
        _, writer = await client.create_stream()
        for part in ATTACKS[name]:
            writer.write(part)
            await asyncio.sleep(0.15)
        await asyncio.wait_for(client.wait_closed(), 3)
    assert listening.receiver.refused == 1


async def test_hostile_senders_disturb_no_honest_one(listening: Listening, hr_faces: Faces) -> None:
    async def attack(number: int) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with connect("127.0.0.1", listening.port, configuration=guest()) as client:
                for _ in range(20):  # a flood of hellos with a wrong token, and rubbish in datagrams
                    stream = client._quic.get_next_available_stream_id()
                    client._quic.send_stream_data(
                        stream, write_message(Hello("guess", os.urandom(16), 0, "liar", 0))
                    )  # fmt: skip
                client.transmit()
                await asyncio.sleep(0.3)
                client._quic.send_datagram_frame(bytes([1, 0]) + os.urandom(100))
                client.transmit()
                await asyncio.sleep(0.2)

    attacks = asyncio.gather(*(attack(number) for number in range(4)))
    await film_and_check(listening, hr_faces)
    await attacks
    assert all(recording.sender == "camera" for recording in listening.recordings.values())


async def test_a_sender_for_which_there_is_no_room_is_told_and_taken_later(
    listening: Listening, hr_faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lowbeam.link.receiver_connection.MAX_CONNECTIONS", 0)
    filming = Filming(listening.port, listening.pin, hr_faces)
    await in_thread(filming.wait, State.WAITING, 2.0)
    assert listening.receiver.refused == 1
    assert not listening.receiver.connections
    monkeypatch.setattr("lowbeam.link.receiver_connection.MAX_CONNECTIONS", 1)
    await in_thread(filming.wait, State.LIVE, 5.0)
    await in_thread(filming.sender.close)


async def test_another_protocol_is_refused(listening: Listening) -> None:
    with pytest.raises(ConnectionError):
        async with connect("127.0.0.1", listening.port, configuration=guest("h3")):
            pass


async def test_a_wrong_token_ends_the_sender_with_one_line(listening: Listening, hr_faces: Faces) -> None:
    filming = Filming(listening.port, listening.pin, hr_faces, token="wrong-secret")
    with pytest.raises(OutputError, match="the token is unknown") as error:
        await in_thread(filming.sender.finish, 10.0)
    await in_thread(filming.sender.close)
    assert "wrong-secret" not in str(error.value)
    assert "\n" not in str(error.value)


async def test_a_store_that_is_down_makes_the_sender_try_again(listening: Listening, hr_faces: Faces) -> None:
    filming = Filming(listening.port, listening.pin, hr_faces, token="later")
    await in_thread(filming.film, 2.0)
    assert filming.sender.core.state in (State.WAITING, State.CONNECTING)
    filming.sender.core.options = SendingOptions(filming.sender.core.options.address, TOKEN, listening.pin)
    assert await in_thread(filming.sender.finish, 10.0)
    await in_thread(filming.sender.close)
    assert sorted(listening.final) == list(range(filming.coded))


async def test_a_sender_that_lies_about_numbers_is_limited(listening: Listening, hr_faces: Faces) -> None:
    async with connect("127.0.0.1", listening.port, configuration=guest()) as client:
        _, writer = await client.create_stream()
        writer.write(HELLO)
        await asyncio.sleep(0.2)
        writer.write(write_message(Gone(0, 2**40)) + write_message(Fill(b"\x02\x00\x00\x01\x01x")))
        await asyncio.wait_for(client.wait_closed(), 3)
    await film_and_check(listening, hr_faces)


async def test_a_complete_recording_that_is_greeted_again_is_confirmed_again(listening: Listening) -> None:
    for _ in range(2):  # the first confirmation got lost with the connection
        async with connect("127.0.0.1", listening.port, configuration=guest()) as client:
            reader, writer = await client.create_stream()
            writer.write(HELLO)
            await asyncio.sleep(0.1)
            writer.write(write_message(Bye(0)))
            data = b""
            while write_message(Bye(0)) not in data:
                data += await asyncio.wait_for(reader.read(1000), 3)
    assert any(True for one in listening.recordings.values() if one.count == 0)
