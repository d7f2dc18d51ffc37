"""What the server makes of recordings that were dropped, and of a store that fails."""

import asyncio
import io
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("aioquic", reason="aioquic comes with the extra link")
pytest.importorskip("sqlalchemy", reason="SQLAlchemy comes with the extra serve")

from lowbeam.errors import OutputError
from lowbeam.face import Box, Face
from lowbeam.link import Hello, Receiver
from lowbeam.link.incoming import Change, Incoming, ReceivedFace
from lowbeam.link.order import DecodedFace, FaceOrder
from lowbeam.link.records import FaceRecord
from lowbeam.recognize import Memory
from lowbeam.server import batches
from lowbeam.server.followed import Arrival, Followed
from lowbeam.server.hub import Hub
from lowbeam.server.link_ingest import LinkIngest
from lowbeam.server.store import Store
from lowbeam.server.store.recordings import Recordings
from lowbeam.server.workers import Workers

KEY = b"k" * 16


def received(incoming: Incoming, number: int) -> ReceivedFace:
    face = Face(number / 10, 0, Box(10.0, 10.0, 80.0), np.full((24, 24), 90, np.uint8))
    decoded = DecodedFace(number, (face,), True, FaceRecord(number, None, 0, True, 0, 0, None, b""))
    return ReceivedFace(incoming, decoded, True, 0.0, number + 1)


class Ingest:
    """A `LinkIngest` that runs, and the recording of one sender."""

    def __init__(self, store: Store, ingest: LinkIngest, hub: Hub, receiver: Receiver, token: str) -> None:
        self.store, self.ingest, self.hub, self.receiver, self._token = store, ingest, hub, receiver, token

    async def connect(self) -> Incoming:
        await self.ingest.authorize(Hello(self._token, KEY, round(1000 * time.time()), "camera", 0), "192.0.2.1")
        recording = (await self.store.recordings.between(0.0, 1e10))[0]
        incoming = Incoming(KEY, recording.sender_id, "camera", 0.0, FaceOrder(recording.stored))
        self.receiver.recordings[KEY] = incoming
        self.receiver.put(Change(incoming, recording.stored))
        return incoming

    async def stored(self) -> int:
        return (await self.store.recordings.between(0.0, 1e10))[0].stored


def run(folder: Path, check: Callable[[Ingest], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        store, workers, hub = await Store.open(f"sqlite:///{folder / 'store.sqlite'}"), Workers(count=1), Hub()
        _, token = await store.accounts.add_sender("camera")
        ingest = LinkIngest(store, hub, workers)
        receiver = Receiver("unused", "unused", authorize=ingest.authorize, stores_itself=True)
        running = asyncio.create_task(ingest.run(receiver))
        await check(Ingest(store, ingest, hub, receiver, token))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        workers.close()
        await store.close()

    asyncio.run(all_of_it())


@pytest.fixture(autouse=True)
def without_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowbeam.link.receiver.receiver_configuration", lambda certificate, key: None)


def test_what_waited_of_a_dropped_recording_does_not_count_as_stored(tmp_path: Path) -> None:
    async def check(it: Ingest) -> None:
        old = await it.connect()
        it.receiver.drop(old, "the server could not store the faces")
        new = await it.connect()
        old.order.next = 20  # of faces that were dropped, or could not even be queued
        it.receiver.put(Change(old, old.order.next))  # its connection ends only now
        it.receiver.put(received(new, 0))
        await asyncio.sleep(0.5)
        assert await it.stored() == 1

    run(tmp_path, check)


def test_a_stream_that_was_dropped_is_not_shown_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "PATIENCE_S", 0.0)

    async def check(it: Ingest) -> None:
        incoming = await it.connect()

        async def failing(self: Recordings, *arguments: object) -> None:
            it.receiver.put(received(incoming, 1))  # comes meanwhile
            await asyncio.sleep(0.1)
            raise OutputError("the store is away")

        monkeypatch.setattr(Recordings, "append", failing)
        it.receiver.put(received(incoming, 0))
        await asyncio.sleep(0.6)
        assert not it.hub.streams

    run(tmp_path, check)


def test_a_store_that_fails_at_the_end_of_a_recording_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end, calls = Recordings.end, []

    async def failing(self: Recordings, *arguments: float) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise OutputError("the store is away")
        await end(self, *arguments)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(Recordings, "end", failing)

    async def check(it: Ingest) -> None:
        incoming = await it.connect()
        it.receiver.put(received(incoming, 0))
        await asyncio.sleep(0.3)
        incoming.is_complete = True
        it.receiver.put(Change(incoming, 1))
        await asyncio.sleep(1.6)
        assert not it.hub.streams
        assert (await it.store.recordings.between(0.0, 1e10))[0].ended_utc is not None
        again = await it.connect()
        it.receiver.put(received(again, 1))
        await asyncio.sleep(0.3)
        assert await it.stored() == 2

    run(tmp_path, check)


def of_another_version() -> bytes:
    file = io.BytesIO()
    np.savez(file, np.zeros((5, 33)))
    return file.getvalue()


@pytest.mark.parametrize("saved", [of_another_version(), b"\x93NUMPY", b"?"], ids=["version", "cut off", "text"])
def test_a_memory_that_cannot_be_read_keeps_no_sender_away(tmp_path: Path, saved: bytes) -> None:
    async def check(it: Ingest) -> None:
        await it.connect()
        await it.store.recordings.append(1, [], 0, saved)
        it.ingest._streams.clear()  # as after a restart
        incoming = await it.connect()
        it.receiver.put(received(incoming, 0))
        await asyncio.sleep(0.4)
        assert await it.stored() == 1

    run(tmp_path, check)


def test_a_memory_of_another_model_ends_no_batch(tmp_path: Path) -> None:
    async def check(it: Ingest) -> None:
        await it.connect()
        other = Followed()
        for person in (0, 1):
            face = received(Incoming(KEY, 1, "camera", 0.0, FaceOrder()), 0).decoded.faces[0]
            arrival = Arrival(0, replace(face, id=person), True, 0.0)
            other.learn(arrival, Memory(np.zeros((3, 7), np.float32), 0.0))
        await it.store.recordings.append(1, [], 1, other.save())
        it.ingest._streams.clear()  # as after a restart with another model
        incoming = await it.connect()
        it.receiver.put(received(incoming, 1))
        await asyncio.sleep(0.4)
        assert await it.stored() == 2

    run(tmp_path, check)


def test_a_batch_that_fails_by_a_defect_is_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(it: Ingest) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(Followed, "save", None)
            it.receiver.put(received(await it.connect(), 0))
            await asyncio.sleep(0.4)
        it.receiver.put(received(await it.connect(), 0))
        await asyncio.sleep(0.4)
        assert await it.stored() == 1

    run(tmp_path, check)
