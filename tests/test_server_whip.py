"""WHIP: real publishers over real sockets, and each refusal."""

import asyncio
import fractions
import io
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import ifaddr
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection
from av.video.frame import VideoFrame
from PIL import Image

from lowbeam.errors import OutputError
from lowbeam.media import VideoSource
from lowbeam.server import whip_session
from lowbeam.server.failures import MOST, SECONDS, Failures
from lowbeam.server.hub import Hub
from lowbeam.server.store import Store
from lowbeam.server.whip import MAX_OFFER
from lowbeam.server.whip_session import WhipLimits, WhipSession
from lowbeam.server.workers import Workers
from tests.server_whip import CLIP, Publisher, WhipServer, publishing, until, whip_server


class Camera(MediaStreamTrack):
    """The first frame of the clip, 25 times in a second, until `is_still`; `shrink` halves its size from then on."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        with VideoSource(CLIP) as video:
            self.picture = next(iter(video)).rgb
        self.is_still, self.shrink, self._count = False, False, 0

    async def recv(self) -> VideoFrame:
        await asyncio.sleep(3600 if self.is_still else 0.04)
        picture = self.picture[::2, ::2].copy() if self.shrink else self.picture
        frame = VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = self._count * 3600, fractions.Fraction(1, 90000)
        self._count += 1
        return frame


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    made = Workers(count=1)
    yield made
    made.close()


@asynccontextmanager
async def shown(
    folder: Path, workers: Workers, track: MediaStreamTrack | None = None, **options: Any
) -> AsyncIterator[tuple[WhipServer, Publisher]]:  # fmt: skip
    """A server that shows estimates of a publisher."""
    async with whip_server(folder, workers, **options) as to, publishing(to, track) as publisher:
        await until(lambda: to.estimates > 2)
        yield to, publisher


def test_a_published_clip_is_shown_and_stored_until_it_is_deleted(tmp_path: Path, workers: Workers) -> None:
    async def run() -> None:
        async with shown(tmp_path, workers) as (to, publisher):
            assert to.stream.link.state == "live"
            await until(lambda: to.stream.link.rate_bps > 10_000)
            assert to.stream.link.point == "video 640x360"
            assert to.stream.link.loss < 0.1
            stolen = await to.client.delete(publisher.location, headers={"Authorization": f"Bearer {to.other}"})
            assert stolen.status_code == 404
            assert to.hub.streams
            assert (await to.client.delete(publisher.location, headers=to.headers())).status_code == 200
            assert not to.hub.streams
            (recording,) = await to.store.recordings.between(0, time.time() + 1)
            assert recording.kind == "whip"
            assert recording.stored > 2
            assert recording.ended_utc is not None
            points = await to.store.recordings.history(recording.sender_id, 0, time.time() + 1)
            assert len(points) == recording.stored
            assert (await to.client.delete(publisher.location, headers=to.headers())).status_code == 404

    asyncio.run(run())


def test_h264_is_read_and_audio_is_refused(tmp_path: Path, workers: Workers) -> None:
    async def run() -> None:
        async with whip_server(tmp_path, workers) as to, publishing(to, codec="H264", with_audio=True) as publisher:
            audio, video = publisher.answer.split("m=")[1:]
            assert audio.startswith("audio")
            assert "a=inactive" in audio
            assert "H264" in video
            assert "VP8" not in video
            await until(lambda: to.estimates > 2)

    asyncio.run(run())


def test_faces_are_stored_as_png_if_they_are_kept(tmp_path: Path, workers: Workers) -> None:
    async def run() -> None:
        async with shown(tmp_path, workers, keep_faces=True) as (to, publisher):
            await to.client.delete(publisher.location, headers=to.headers())
            pages = [page async for page in to.store.recordings.rows(1, 0, time.time() + 1)]
            faces = [row.face for page in pages for _, _, row in page]
            assert faces
            for face in faces:
                assert face is not None
                assert Image.open(io.BytesIO(face)).mode == "L"

    asyncio.run(run())


def test_a_new_session_replaces_the_senders_last(tmp_path: Path, workers: Workers) -> None:
    async def run() -> None:
        async with whip_server(tmp_path, workers) as to, publishing(to):
            first = to.stream
            async with publishing(to):
                assert to.stream is not first

    asyncio.run(run())
    assert not decoders()


def test_a_server_that_stops_stores_what_came(tmp_path: Path, workers: Workers) -> None:
    async def run() -> None:
        async with whip_server(tmp_path, workers, with_pages=True) as to:
            publisher = publishing(to)
            await publisher.__aenter__()
            await until(lambda: to.estimates > 2)
        await publisher.__aexit__(None, None, None)
        store = await Store.open(f"sqlite:///{tmp_path}/store.db")
        (recording,) = await store.recordings.between(0, time.time() + 1)
        assert recording.stored > 2
        assert recording.ended_utc is not None
        await store.close()

    asyncio.run(run())
    assert not decoders()


def test_a_session_that_is_closed_at_once_leaves_nothing(tmp_path: Path, workers: Workers) -> None:
    async def run() -> None:
        store, hub = await Store.open(f"sqlite:///{tmp_path}/store.db"), Hub()
        sender, _ = await store.accounts.add_sender("ward")
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peer.addTrack(Camera())
        await peer.setLocalDescription(await peer.createOffer())
        session = WhipSession(
            sender, store, hub, workers, keep_faces=False, limits=WhipLimits(), on_drop=lambda count: None
        )  # fmt: skip
        await session.answer(peer.localDescription.sdp)
        assert hub.streams
        await session.close()
        await session.close()
        assert not hub.streams
        (recording,) = await store.recordings.between(0, time.time() + 1)
        assert recording.ended_utc is not None
        await peer.close()
        await store.close()
        await until(lambda: len(asyncio.all_tasks()) == 1, 2)

    asyncio.run(run())
    assert not decoders()


@pytest.mark.parametrize("way", ["closes", "is silent", "is revoked"])
def test_a_session_ends_when_its_peer(
    tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:  # fmt: skip
    monkeypatch.setattr(whip_session, "AWAY_S", 0.3)

    async def run() -> None:
        camera, idle_s = Camera(), 3.0 if way == "is silent" else 60.0
        async with shown(tmp_path, workers, camera, idle_s=idle_s, check_s=0.1) as (to, publisher):
            if way == "closes":
                await publisher.peer.close()
            elif way == "is silent":
                camera.is_still = True
                await until(lambda: to.stream.link.state == "away", 3)
            else:
                await to.store.accounts.revoke_sender(1)
            await until(lambda: not to.hub.streams, 10)
            await until(lambda: not tasks_of("WhipSession"), 10)  # all is stored
            (recording,) = await to.store.recordings.between(0, time.time() + 1)
            assert recording.stored > 2
            assert recording.ended_utc is not None
            deleted = await to.client.delete(publisher.location, headers=to.headers())
            assert deleted.status_code == (401 if way == "is revoked" else 404)

    asyncio.run(run())
    assert not decoders()


@pytest.mark.parametrize(("limit", "most"), [("MAX_SOURCES", 0), ("MAX_PIXELS", 1000)])
def test_a_session_ends_when_its_peer_sends_too_much(
    tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:  # fmt: skip
    monkeypatch.setattr(whip_session, limit, most)

    async def run() -> None:
        async with whip_server(tmp_path, workers) as to, publishing(to):
            await until(lambda: not to.hub.streams, 10)

    asyncio.run(run())
    assert not decoders()


def test_video_that_changes_its_size_is_read_on(tmp_path: Path, workers: Workers) -> None:
    async def run() -> None:
        camera = Camera()
        async with shown(tmp_path, workers, camera) as (to, _):
            camera.shrink = True
            await until(lambda: to.stream.link.point == "video 320x180")
            before = to.estimates
            await until(lambda: to.estimates > before + 2)

    asyncio.run(run())


def test_more_sessions_than_the_limit_are_told_to_come_later(tmp_path: Path, workers: Workers) -> None:
    async def run() -> None:
        async with whip_server(tmp_path, workers, sessions=1) as to, publishing(to) as publisher:
            offer = publisher.peer.localDescription.sdp
            headers = to.headers(Authorization=f"Bearer {to.other}")
            reply = await to.client.post("/whip", headers=headers, content=offer)
            assert reply.status_code == 503
            assert reply.headers["retry-after"]
            await to.client.delete(publisher.location, headers=to.headers())
            async with publishing(to, token=to.other):
                assert to.stream.sender == 2

    asyncio.run(run())


def test_an_offer_without_video_is_refused(tmp_path: Path, workers: Workers) -> None:
    async def run() -> None:
        async with whip_server(tmp_path, workers) as to:
            audio, data, viewer = (RTCPeerConnection(RTCConfiguration(iceServers=[])) for _ in range(3))
            audio.addTransceiver("audio", direction="sendonly")
            data.createDataChannel("data")
            viewer.addTransceiver("video", direction="recvonly")
            for peer in (audio, data, viewer):
                await peer.setLocalDescription(await peer.createOffer())
                reply = await to.client.post("/whip", headers=to.headers(), content=peer.localDescription.sdp)
                assert (reply.status_code, reply.text) == (422, "the offer sends no video\n")
                await peer.close()
            assert not to.hub.streams
            assert not await to.store.recordings.between(0, time.time() + 1)

    asyncio.run(run())


def test_refusals(tmp_path: Path, workers: Workers) -> None:
    async def run() -> None:
        async with whip_server(tmp_path, workers) as to:

            async def post(content: str | bytes, **headers: str) -> httpx.Response:
                return await to.client.post("/whip", headers=to.headers(**headers), content=content)

            reply = await post("v=0", Authorization="Bearer lb1_1_no")
            assert reply.status_code == 401
            assert reply.headers["www-authenticate"] == "Bearer"
            assert (await post("", **{"Content-Type": "a/b"})).status_code == 415
            assert (await post("v=0", Accept="text/html")).status_code == 406
            assert (await post("x" * (MAX_OFFER + 1))).status_code == 413
            assert (await post(b"\xff")).status_code == 400
            assert (await post("nonsense")).status_code == 422
            for method, path in (("GET", "/whip"), ("PUT", "/whip"), ("PATCH", "/whip/x"), ("POST", "/whip/x")):
                reply = await to.client.request(method, path)
                assert reply.status_code == 405
                assert "OPTIONS" in reply.headers["allow"]
            reply = await to.client.options("/whip")
            assert reply.status_code == 204
            assert reply.headers["accept-post"] == "application/sdp"
            assert not to.hub.streams

    asyncio.run(run())


def test_an_address_with_many_wrong_tokens_has_to_wait(tmp_path: Path, workers: Workers) -> None:
    async def run() -> None:
        async with whip_server(tmp_path, workers) as to:
            wrong = to.headers(Authorization="Bearer lb1_1_no")
            statuses = [(await to.client.post("/whip", headers=wrong)).status_code for _ in range(MOST + 1)]
            assert statuses == [401] * MOST + [429]
            assert (await to.client.post("/whip", headers=to.headers(), content="v=0")).status_code == 429

    asyncio.run(run())


def test_an_address_that_waited_may_try_again() -> None:
    now = 0.0
    failures = Failures(lambda: now)
    for _ in range(MOST):
        assert not failures.is_limited("a")
        failures.add("a")
    assert failures.is_limited("a")
    assert not failures.is_limited("b")
    now = SECONDS - 0.5
    assert failures.is_limited("a")
    now = SECONDS
    assert not failures.is_limited("a")


def test_a_store_that_fails_is_reported_as_such(
    tmp_path: Path, workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    async def fail(*_: object) -> None:
        raise OutputError("the disk is full")

    async def run() -> None:
        async with whip_server(tmp_path, workers) as to, publishing(to) as publisher:
            monkeypatch.setattr(to.store.recordings, "begin", fail)
            offer = publisher.peer.localDescription.sdp
            reply = await to.client.post("/whip", headers=to.headers(), content=offer)
            assert (reply.status_code, reply.text) == (503, "the store does not answer\n")

    asyncio.run(run())


def test_nothing_is_sent_to_other_hosts(tmp_path: Path, workers: Workers) -> None:
    own = {ip.ip if isinstance(ip.ip, str) else ip.ip[0] for each in ifaddr.get_adapters() for ip in each.ips}
    sent: list[str] = []
    is_on = True

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if is_on and event in {"socket.sendto", "socket.connect", "socket.sendmsg"} and isinstance(arguments[1], tuple):
            sent.append(arguments[1][0])
        elif is_on and event in {"socket.getaddrinfo", "socket.gethostbyname"}:
            sent.append(str(arguments[0]))

    async def run() -> None:
        async with shown(tmp_path, workers):
            pass

    sys.addaudithook(note)  # cannot be removed
    try:
        asyncio.run(run())
    finally:
        is_on = False
    assert sent
    assert {address.partition("%")[0] for address in sent} <= own


def tasks_of(name: str) -> list["asyncio.Task[Any]"]:
    """Tasks whose coroutine belongs to the class `name`."""
    return [task for task in asyncio.all_tasks() if f"{name}." in getattr(task.get_coro(), "__qualname__", "")]


def decoders() -> list[threading.Thread]:
    """Threads of aiortc that still decode."""
    return [thread for thread in threading.enumerate() if "decoder" in thread.name]
