"""WHIP: a real publisher over real sockets, and each refusal."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer
from fastapi import FastAPI

import lowbeam
from lowbeam.server.hub import Hub
from lowbeam.server.store import Store
from lowbeam.server.whip import MAX_OFFER, whip_router
from lowbeam.server.workers import Workers

CLIP = Path(lowbeam.__file__).parent / "assets" / "clip.mp4"


class Served:
    """A server on a free port of the loopback interface."""

    def __init__(self, store: Store, hub: Hub, client: httpx.AsyncClient, token: str, other: str) -> None:
        self.store, self.hub, self.client, self.token, self.other = store, hub, client, token, other

    def headers(self, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Content-Type": "application/sdp", **more}


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    made = Workers(count=1)
    yield made
    made.close()


@asynccontextmanager
async def served(tmp_path: Path, workers: Workers) -> AsyncIterator[Served]:
    store, hub = await Store.open(f"sqlite:///{tmp_path}/store.db"), Hub()
    token, other = [(await store.accounts.add_sender(name))[1] for name in ("ward", "other")]
    app = FastAPI()
    app.include_router(whip_router(store, hub, workers, keep_faces=False))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield Served(store, hub, client, token, other)
    finally:
        server.should_exit = True
        await task
        await store.close()


@asynccontextmanager
async def publishing(to: Served) -> AsyncIterator[tuple[RTCPeerConnection, str]]:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    player = MediaPlayer(str(CLIP), loop=True)
    peer.addTrack(player.video)
    try:
        await peer.setLocalDescription(await peer.createOffer())
        reply = await to.client.post("/whip", headers=to.headers(), content=peer.localDescription.sdp)
        assert reply.status_code == 201 and reply.headers["etag"] and reply.headers["content-type"] == "application/sdp"
        assert "a=candidate" in reply.text and "srflx" not in reply.text
        await peer.setRemoteDescription(RTCSessionDescription(reply.text, "answer"))
        yield peer, reply.headers["location"]
    finally:
        player.video.stop()
        await peer.close()


async def until(condition: object, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


def test_a_published_clip_is_shown_and_stored_until_it_is_deleted(tmp_path: Path, workers: Workers) -> None:
    async def run() -> None:
        async with served(tmp_path, workers) as to, publishing(to) as (_, location):
            await until(lambda: any(len(p.estimates) > 3 for s in to.hub.streams.values() for p in s.people.values()))
            stolen = await to.client.delete(location, headers={"Authorization": f"Bearer {to.other}"})
            assert stolen.status_code == 404 and to.hub.streams
            assert (await to.client.delete(location, headers=to.headers())).status_code == 200
            assert not to.hub.streams
            (recording,) = await to.store.recordings.between(0, time.time() + 1)
            assert recording.kind == "whip" and recording.stored > 3 and recording.ended_utc is not None
            assert (await to.client.delete(location, headers=to.headers())).status_code == 404

    asyncio.run(run())


def test_a_new_session_replaces_the_senders_last(tmp_path: Path, workers: Workers) -> None:
    async def run() -> None:
        async with served(tmp_path, workers) as to, publishing(to):
            (first,) = to.hub.streams
            async with publishing(to):
                (second,) = to.hub.streams
                assert second != first

    asyncio.run(run())
    assert not [t for t in threading.enumerate() if "decode" in t.name]


def test_refusals(tmp_path: Path, workers: Workers) -> None:
    async def run() -> None:
        async with served(tmp_path, workers) as to:
            post = to.client.post
            reply = await post("/whip", headers=to.headers(Authorization="Bearer lb1_1_no"), content="v=0")
            assert reply.status_code == 401 and reply.headers["www-authenticate"] == "Bearer"
            assert (await post("/whip", headers=to.headers(**{"Content-Type": "a/b"}), content="")).status_code == 415
            assert (await post("/whip", headers=to.headers(Accept="text/html"), content="v=0")).status_code == 406
            assert (await post("/whip", headers=to.headers(), content="x" * (MAX_OFFER + 1))).status_code == 413
            assert (await post("/whip", headers=to.headers(), content=b"\xff")).status_code == 400
            assert (await post("/whip", headers=to.headers(), content="nonsense")).status_code == 422
            for method, path in (("GET", "/whip"), ("PUT", "/whip"), ("PATCH", "/whip/x"), ("POST", "/whip/x")):
                reply = await to.client.request(method, path)
                assert reply.status_code == 405 and "OPTIONS" in reply.headers["allow"]
            reply = await to.client.options("/whip")
            assert reply.status_code == 204 and reply.headers["accept-post"] == "application/sdp"
            assert not to.hub.streams

    asyncio.run(run())
