"""A WHIP session: a WebRTC peer connection whose video is read, shown and stored."""

import asyncio
import functools
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av.video.frame import VideoFrame

from lowbeam.errors import LowbeamError
from lowbeam.estimator import Estimator
from lowbeam.face import Face
from lowbeam.server.face_png import face_png
from lowbeam.server.faces_of_video import VideoReader
from lowbeam.server.hub import Hub, LinkState, LiveStream
from lowbeam.server.recorder import Recorder
from lowbeam.server.store import Row, Sender, Store
from lowbeam.server.whip_decoding import bound_decoding
from lowbeam.server.whip_rate import LinkMeter
from lowbeam.server.workers import Workers
from lowbeam.trace import Estimate

INTERVAL_S = 0.1  # seconds between frames that are read, at least
SHOW_S = 1.0  # seconds between states of the link
AWAY_S = 3.0  # seconds without a frame after which a peer is shown as away
CLOSE_S = 5.0  # seconds that closing a connection may take
MAX_PIXELS = 4096 * 2304  # of a frame
MAX_SOURCES = 16  # RTP sources of one peer in 10 s

log = logging.getLogger(__name__)


class OfferError(ValueError):
    """The offer is not one that can be answered: it is malformed, or has no video."""


@dataclass(frozen=True)
class WhipLimits:
    """`sessions` at once; `idle_s`, the seconds without a frame after which a session ends; `check_s`, the seconds
    between looks at whether the sender was revoked."""

    sessions: int = 32
    idle_s: float = 30.0
    check_s: float = 15.0


@dataclass(frozen=True)
class _Seen:
    """A face in a frame, its estimate, and its picture if that is kept."""

    face: Face
    estimate: Estimate
    picture: bytes | None


class WhipSession:
    """Receives the first video of a peer. A frame waits only until a newer one arrives; `on_drop` is told how many were
    due and could not be read in time. Faces are stored only with `keep_faces`."""

    def __init__(
        self, sender: Sender, store: Store, hub: Hub, workers: Workers, *, keep_faces: bool, limits: WhipLimits,
        on_drop: Callable[[int], None],
    ) -> None:  # fmt: skip
        self.id, self.sender, self.dropped = secrets.token_urlsafe(16), sender, 0
        self._store, self._hub, self._workers, self._keep_faces = store, hub, workers, keep_faces
        self._limits, self._on_drop = limits, on_drop
        # An empty list: by default, aiortc would ask a public STUN server.
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._waiting: VideoFrame | None = None
        self._arrived, self._stop = asyncio.Event(), asyncio.Event()
        self._reader: VideoReader | None = None
        self._last_s: float | None = None  # when the last frame arrived
        self._size = ""
        self._count = self._faces = self._told = 0
        self._task: asyncio.Task[None] | None = None

    async def answer(self, offer: str) -> str:
        """The answer to `offer` (SDP), with all candidates. Raises `OfferError`, or `LowbeamError` if nothing can be
        stored; the session is closed then."""
        try:
            video = await self._accept(offer)
            self._encoded = bound_decoding(video.receiver)
            await self._peer.setLocalDescription(await self._peer.createAnswer())
            await self._begin(video.receiver)
        except BaseException:
            await self._close_peer()
            raise
        return str(self._peer.localDescription.sdp)

    async def close(self) -> None:
        """End the session and wait until all of it is stored."""
        self._stop.set()
        await self.ended()

    async def ended(self) -> None:
        """Wait until the session has ended, for whatever reason."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _accept(self, offer: str) -> RTCRtpTransceiver:
        """The first video that is offered. All else is refused: nobody would read it."""
        try:
            await self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        except Exception as error:  # aiortc raises whatever its parser ran into
            raise OfferError("the offer is not valid SDP for WebRTC") from error
        videos = [t for t in self._peer.getTransceivers() if t.kind == "video" and t.receiver.track is not None]
        if not videos:
            raise OfferError("the offer sends no video")
        for transceiver in self._peer.getTransceivers():
            if transceiver is not videos[0]:
                transceiver.direction = "inactive"
        return videos[0]

    async def _begin(self, receiver: RTCRtpReceiver) -> None:
        """Start to receive as a new recording."""
        now, self._started = time.time(), time.monotonic()
        recordings, sender = self._store.recordings, self.sender
        recording = await recordings.begin(sender.id, secrets.token_bytes(16), "whip", sender.name, now)
        self._recorder = Recorder(recordings, recording.id)
        self._stream = LiveStream(recording.id, sender.id, sender.name, "whip", now)
        self._hub.begin(self._stream)
        self._task = asyncio.create_task(self._run(receiver))

    async def _run(self, receiver: RTCRtpReceiver) -> None:
        parts = (
            self._receive(receiver.track), self._read_all(), self._show(receiver), self._check(), self._recorder.run(),
            self._stop.wait(),
        )  # fmt: skip
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except Exception:
            log.exception("WHIP stream %d ends", self._stream.id)
        finally:
            await self._free(tasks)

    async def _free(self, tasks: Sequence["asyncio.Task[object]"]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._hub.end(self._stream.id)
        self._tell_drops()
        await self._close_peer()
        await self._recorder.end(time.time())

    async def _close_peer(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._peer.close()
        except Exception:
            log.exception("a WHIP connection could not be closed")

    async def _receive(self, track: MediaStreamTrack) -> None:
        """Keep the newest frame of those that are due, until the peer ends or is silent for `idle_s`."""
        due = 0.0
        try:
            while True:
                # In Python 3.11, `asyncio.wait_for` may ignore that it is cancelled when a frame arrives.
                async with asyncio.timeout(self._limits.idle_s):
                    frame = await track.recv()
                now = time.monotonic()
                assert isinstance(frame, VideoFrame)  # the track is one of video
                if frame.width * frame.height > MAX_PIXELS:
                    log.error("WHIP stream %d ends: its frames have more than %d pixels", self._stream.id, MAX_PIXELS)
                    return
                is_first, self._last_s = self._last_s is None, now
                if is_first:
                    self._stream.link = LinkState("live")
                    self._hub.changed(self._stream.id)
                if now < due:
                    continue
                due = max(due + INTERVAL_S, now)
                self.dropped += self._waiting is not None
                self._waiting = frame
                self._arrived.set()
        except (MediaStreamError, TimeoutError):
            return

    async def _read_all(self) -> None:
        """Read the newest frame, again and again."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            frame, self._waiting = self._waiting, None
            if frame is None:
                continue
            self._size = f"video {frame.width}x{frame.height}"
            work = functools.partial(self._read, frame=frame, time_s=time.monotonic() - self._started)
            self._take(await self._workers.run(self._stream.id, work))

    def _read(self, estimator: Estimator, *, frame: VideoFrame, time_s: float) -> list[_Seen]:
        """In a thread of the workers: what is seen in a frame."""
        self._reader = self._reader or VideoReader(estimator)
        found = self._reader.read(frame, time_s)
        return [_Seen(face, read, face_png(face.pixels) if self._keep_faces else None) for face, read in found]

    def _take(self, seen: Sequence[_Seen]) -> None:
        now = time.time()
        for one in seen:
            self._stream.see(one.estimate, one.face.pixels, now)
            self._recorder.add(Row(self._count, one.estimate, now, is_final=True, face=one.picture))
            self._count += 1
        self._faces += len(seen)
        if seen:
            self._hub.changed(self._stream.id)

    async def _show(self, receiver: RTCRtpReceiver) -> None:
        """Show how the link is doing. Returns if the peer sends from too many sources."""
        meter = LinkMeter(receiver)
        while len(receiver.getSynchronizationSources()) <= MAX_SOURCES:
            await asyncio.sleep(SHOW_S)
            faces, self._faces = self._faces, 0
            measured = await meter.measure()
            if self._last_s is not None:
                state = "live" if time.monotonic() - self._last_s < AWAY_S else "away"
                self._stream.link = LinkState(
                    state, measured.rate_bps, loss=measured.loss, faces_per_s=faces / measured.seconds,
                    point=self._size, behind=self._recorder.waiting,
                )  # fmt: skip
            self._tell_drops()
            self._hub.changed(self._stream.id)
        log.error("WHIP stream %d ends: its peer sends from more than %d sources", self._stream.id, MAX_SOURCES)

    def _tell_drops(self) -> None:
        dropped = self.dropped + self._encoded.dropped
        if dropped > self._told:
            self._on_drop(dropped - self._told)
            self._told = dropped

    async def _check(self) -> None:
        """Returns when the sender has been revoked."""
        while True:
            await asyncio.sleep(self._limits.check_s)
            try:
                sender = await self._store.accounts.sender(self.sender.id)
            except LowbeamError:
                continue  # what the store does not answer is asked again; the recorder reports that it fails
            if sender is None or sender.revoked_utc is not None:
                log.info("WHIP stream %d ends: its sender was revoked", self._stream.id)
                return
