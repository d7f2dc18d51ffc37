"""A WHIP session: a WebRTC peer connection whose video is read, shown and stored."""

import asyncio
import logging
import secrets
import time

from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av.video.frame import VideoFrame

from lowbeam.face import Face
from lowbeam.recognize import Recognizer
from lowbeam.server.faces_of_video import VideoReader
from lowbeam.server.hub import Hub, LinkState, LiveStream
from lowbeam.server.store import Row, Sender, Store
from lowbeam.server.workers import Workers
from lowbeam.trace import Estimate

IDLE_S = 30.0  # seconds without a frame after which a session ends
INTERVAL_S = 0.1  # seconds between frames that are read, at least
STORE_S = 1.0  # seconds between transactions of the store

log = logging.getLogger(__name__)


class OfferError(ValueError):
    """The offer is not one that can be answered: it is malformed, or has no video."""


class WhipSession:
    """Receives the first video of a peer. A frame waits only until a newer one arrives: `dropped` counts those that
    were due and could not be read in time. Faces are stored only with `keep_faces`."""

    def __init__(self, sender: Sender, store: Store, hub: Hub, workers: Workers, *, keep_faces: bool) -> None:
        self.id, self.sender, self.dropped = secrets.token_urlsafe(16), sender, 0
        self._store, self._hub, self._workers, self._keep_faces = store, hub, workers, keep_faces
        # An empty list: by default, aiortc would ask a public STUN server.
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._waiting: VideoFrame | None = None
        self._arrived = asyncio.Event()
        self._reader: VideoReader | None = None
        self._rows: list[Row] = []
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    async def answer(self, offer: str) -> str:
        """The answer to `offer` (SDP), with all candidates. Raises `OfferError`; the session is closed then."""
        try:
            try:
                await self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            except Exception as error:  # aiortc raises whatever its parser ran into
                raise OfferError("the offer is not valid SDP for WebRTC") from error
            videos = [t for t in self._peer.getTransceivers() if t.kind == "video" and t.receiver.track is not None]
            if not videos:
                raise OfferError("the offer sends no video")
            for transceiver in self._peer.getTransceivers():
                if transceiver is not videos[0]:
                    transceiver.direction = "inactive"  # nobody would read it
            await self._peer.setLocalDescription(await self._peer.createAnswer())
            await self._begin(videos[0].receiver.track)
        except BaseException:
            await self._peer.close()
            raise
        return str(self._peer.localDescription.sdp)

    async def close(self) -> None:
        """End the session and wait until all of it is stored."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _begin(self, track: MediaStreamTrack) -> None:
        """Start to receive `track` as a new recording."""
        self._started_utc, self._started = time.time(), time.monotonic()
        recordings = self._store.recordings
        self._recording = await recordings.begin(
            self.sender.id, secrets.token_bytes(16), "whip", self.sender.name, self._started_utc
        )
        self._stream = LiveStream(self._recording.id, self.sender.id, self.sender.name, "whip", self._started_utc)
        self._hub.begin(self._stream)
        self._task = asyncio.create_task(self._run(track))

    async def ended(self) -> None:
        """Wait until the session has ended, for whatever reason."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self, track: MediaStreamTrack) -> None:
        reading = asyncio.create_task(self._read_all())
        receiving = asyncio.create_task(self._receive(track))
        try:
            done, _ = await asyncio.wait([reading, receiving], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except Exception:
            log.exception("WHIP stream %d ends", self._stream.id)
        finally:
            reading.cancel()
            receiving.cancel()
            await asyncio.wait([reading, receiving])
            self._hub.end(self._stream.id)
            try:
                await self._peer.close()
            finally:
                await self._save()
                await self._store.recordings.end(self._stream.id, time.time())

    async def _receive(self, track: MediaStreamTrack) -> None:
        """Keep the newest frame of those that are due, until the peer ends or is silent for `IDLE_S`."""
        due = 0.0
        try:
            while True:
                frame = await asyncio.wait_for(track.recv(), IDLE_S)
                now = time.monotonic()
                if now < due or not isinstance(frame, VideoFrame):
                    continue
                due = max(due + INTERVAL_S, now)
                self.dropped += self._waiting is not None
                self._waiting = frame
                self._arrived.set()
        except (MediaStreamError, TimeoutError):
            return

    async def _read_all(self) -> None:
        """Read the newest frame, again and again; store what was read at most once in `STORE_S`."""
        saved, faces = time.monotonic(), 0
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            frame, self._waiting = self._waiting, None
            if frame is None:
                continue
            time_s = time.monotonic() - self._started
            found = await self._workers.run(self._stream.id, lambda r, f=frame, t=time_s: self._read(r, f, t))
            faces += len(found)
            self._show(found)
            now = time.monotonic()
            if now - saved >= STORE_S:
                size = f"video {frame.width}x{frame.height}"
                self._stream.link = LinkState("connected", faces_per_s=faces / (now - saved), point=size)
                self._hub.changed(self._stream.id)
                await self._save()
                saved, faces = now, 0

    def _read(self, recognizer: Recognizer, frame: VideoFrame, time_s: float) -> list[tuple[Face, Estimate]]:
        """In a thread of the workers: the faces of a frame and their estimates."""
        self._reader = self._reader or VideoReader(recognizer)
        return self._reader.read(frame, time_s)

    def _show(self, found: list[tuple[Face, Estimate]]) -> None:
        now = time.time()
        for face, estimate in found:
            self._stream.see(estimate, face.pixels, now)
            kept = face.pixels.tobytes() if self._keep_faces else None
            self._rows.append(Row(self._count, estimate, now, is_final=True, face=kept))
            self._count += 1
        if found:
            self._hub.changed(self._stream.id)

    async def _save(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            await self._store.recordings.append(self._stream.id, rows, stored=self._count)
