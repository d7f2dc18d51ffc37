"""A WHIP server on the loopback interface, and publishers of the clip that ships."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import uvicorn
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer
from fastapi import FastAPI

from lowbeam.demo import ASSETS
from lowbeam.server.access import WHIP_RULES
from lowbeam.server.app import make_app
from lowbeam.server.hub import Hub, LiveStream
from lowbeam.server.settings import ServerSettings
from lowbeam.server.store import Store
from lowbeam.server.whip import whip_router
from lowbeam.server.whip_session import WhipLimits
from lowbeam.server.workers import Workers

CLIP = ASSETS / "clip.mp4"


@dataclass(frozen=True)
class WhipServer:
    """A server, a client of it, and the tokens of two senders."""

    store: Store
    hub: Hub
    app: FastAPI
    client: httpx.AsyncClient
    token: str
    other: str

    def headers(self, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Content-Type": "application/sdp", **more}

    @property
    def stream(self) -> LiveStream:
        """The one stream that is on."""
        (stream,) = self.hub.streams.values()
        return stream

    @property
    def estimates(self) -> int:
        """How many estimates are shown now."""
        return sum(len(p.estimates) for s in self.hub.streams.values() for p in s.people.values())


@asynccontextmanager
async def whip_server(
    folder: Path, workers: Workers, *, keep_faces: bool = False, with_pages: bool = False, **limits: float
) -> AsyncIterator[WhipServer]:  # fmt: skip
    """A server that runs; `with_pages`, behind the guard and with metrics."""
    store, hub = await Store.open(f"sqlite:///{folder}/store.db"), Hub()
    token, other = [(await store.accounts.add_sender(name))[1] for name in ("ward", "other")]
    router = whip_router(store, hub, workers, keep_faces=keep_faces, limits=WhipLimits(**limits))  # type: ignore[arg-type]
    if with_pages:
        app = make_app(ServerSettings(), store, hub, routers=[router], rules=WHIP_RULES)
    else:
        app = FastAPI()
        app.include_router(router)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield WhipServer(store, hub, app, client, token, other)
    finally:
        server.should_exit = True
        await task
        await store.close()


@dataclass(frozen=True)
class Publisher:
    """A peer that publishes, the answer that it got, and the address of its session."""

    peer: RTCPeerConnection
    answer: str
    location: str


@asynccontextmanager
async def publishing(
    to: WhipServer, track: MediaStreamTrack | None = None, *, token: str | None = None, codec: str = "VP8",
    with_audio: bool = False,
) -> AsyncIterator[Publisher]:  # fmt: skip
    """A peer that publishes the clip in a loop, or `track`, as video of `codec`."""
    peer, player = RTCPeerConnection(RTCConfiguration(iceServers=[])), None
    if with_audio:
        peer.addTransceiver("audio", direction="sendonly")
    if track is None:
        player = MediaPlayer(str(CLIP), loop=True)
        track = player.video
    assert track is not None
    sending = peer.addTransceiver(track, direction="sendonly")
    known = RTCRtpSender.getCapabilities("video").codecs
    sending.setCodecPreferences([each for each in known if each.name == codec])
    try:
        await peer.setLocalDescription(await peer.createOffer())
        headers = to.headers(Authorization=f"Bearer {token or to.token}")
        reply = await to.client.post("/whip", headers=headers, content=peer.localDescription.sdp)
        assert reply.status_code == 201, reply.text
        await peer.setRemoteDescription(RTCSessionDescription(reply.text, "answer"))
        yield Publisher(peer, reply.text, reply.headers["location"])
    finally:
        track.stop()
        await peer.close()


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)
