"""A server of pages in a thread, with a stream that feeds it faces of the clip that ships."""

import asyncio
import math
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import uvicorn
from fastapi import APIRouter

from lowbeam.demo import ASSETS
from lowbeam.face import Grey
from lowbeam.faces import FaceTracker, YunetDetector
from lowbeam.media import VideoSource
from lowbeam.pipeline.sources import find_faces
from lowbeam.scale import shrink
from lowbeam.server.access import Rule
from lowbeam.server.app import make_app
from lowbeam.server.hub import Ask, Hub, LinkState, LiveStream
from lowbeam.server.settings import ServerSettings
from lowbeam.server.store import Row, Store
from lowbeam.trace import Estimate

Result = TypeVar("Result")
PASSWORD = "correct horse battery"
FPS = 5.0


@cache
def small_faces(side: int = 12) -> list[Grey]:
    """Faces of the clip's first two seconds, as a link of some kbit/s carries them."""
    with VideoSource(ASSETS / "clip.mp4") as video:
        tracker = FaceTracker(YunetDetector())
        frames = islice((frame for frame in video if frame.time_s * FPS % 1 < 0.2), int(2 * FPS))
        faces = np.stack([find_faces(frame, tracker, "primary").faces[0].pixels for frame in frames])
    return list(shrink(faces, 96 // side))


class PageServer:
    """A server that runs. `clock` is the store's, in Unix seconds."""

    def __init__(
        self, folder: Path, routers: Sequence[APIRouter] = (), rules: Sequence[Rule] = (),
        certificate: Path | None = None, **settings: Any,
    ) -> None:  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._certificate = certificate
        self.settings = ServerSettings(port=self.port, is_tls=certificate is not None, **settings)
        self.url = self.settings.url if settings.get("public_url") is None else f"http://127.0.0.1:{self.port}"
        self.ahead_s = 0.0
        self.asked: list[Ask] = []
        self._folder, self._routers, self._rules = folder, routers, rules
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        url = f"sqlite:///{self._folder / 'store.db'}"
        self.store = await Store.open(url, clock=lambda: time.time() + self.ahead_s)
        self.hub = Hub()
        self.app = make_app(self.settings, self.store, self.hub, routers=self._routers, rules=self._rules)
        config = uvicorn.Config(
            self.app, "127.0.0.1", self.port, log_level="warning", timeout_graceful_shutdown=2,
            ssl_certfile=self._certificate,
        )  # fmt: skip
        self.server = uvicorn.Server(config)
        serving = asyncio.create_task(self.server.serve())
        while not self.server.started:
            await asyncio.sleep(0.01)
        self._ready.set()
        await serving
        await self.store.close()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(30)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(20)

    def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run `work` in the loop of the server."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def call(self, work: Callable[[], Result]) -> Result:
        """Call `work` in the loop of the server."""

        async def called() -> Result:
            return work()

        return self.do(called())

    def client(self, **options: Any) -> httpx.Client:
        """A client that says that it comes from this server."""
        return httpx.Client(base_url=self.url, headers={"Origin": self.url}, timeout=20, **options)

    def logged_in(self, name: str) -> httpx.Client:
        client = self.client()
        assert client.post("/login", data={"name": name, "password": PASSWORD}).status_code == 303
        return client

    def add_users(self) -> None:
        """An admin "ada" and a viewer "vic"."""
        self.do(self.store.accounts.add_user("ada", PASSWORD, "admin"))
        self.do(self.store.accounts.add_user("vic", PASSWORD, "viewer"))

    def begin_stream(self, name: str = "Room 12") -> LiveStream:
        """A sender with a stream that is on, and estimates of the last five minutes in the store."""
        sender, _ = self.do(self.store.accounts.add_sender(name))
        began = time.time() - 300
        recording = self.do(self.store.recordings.begin(sender.id, name.encode(), "link", name, began))
        rows = [Row(n, estimate_at(n / FPS), began + n / FPS, True) for n in range(int(300 * FPS))]
        self.do(self.store.recordings.append(recording.id, rows))
        stream = LiveStream(recording.id, sender.id, name, "link", began, self.asked.append)
        for row in rows[-300:]:
            stream.see(row.estimate, small_faces()[0], time.time())
        self.call(lambda: self.hub.begin(stream))
        return stream

    async def feed(self, stream: LiveStream) -> None:
        """Feed a stream at `FPS`, until cancelled."""
        faces, number = small_faces(), 0
        while True:
            time_s = time.time() - stream.started_utc
            stream.link = LinkState(
                "live", 3900 + 100 * math.sin(number), 4200, 4000, 0.05, 0.31 + 0.02 * math.sin(number), FPS,
                "hevc ÷8, QP 32, 5 fps", number % 3,
            )  # fmt: skip
            stream.see(estimate_at(time_s), faces[number % len(faces)], time.time())
            self.hub.changed(stream.id)
            number += 1
            await asyncio.sleep(1 / FPS)

    @contextmanager
    def feeding(self, *streams: LiveStream) -> Iterator[None]:
        """Feed streams."""
        tasks = [asyncio.run_coroutine_threadsafe(self.feed(stream), self.loop) for stream in streams]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def estimate_at(time_s: float, face: int = 0) -> Estimate:
    """An estimate that moves."""
    slow = math.sin(time_s / 9) * 0.5
    valence, arousal = slow + 0.1 * math.sin(time_s * 1.7), 0.4 * math.cos(time_s / 6)
    return Estimate(time_s, face, valence, arousal, 0.14, 0.19, 40, 30, 96)


@contextmanager
def page_server(folder: Path, **settings: Any) -> Iterator[PageServer]:
    """A server in a thread, until the end of the block."""
    server = PageServer(folder, **settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()
