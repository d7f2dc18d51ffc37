"""`send`: finds the face in a source, codes it within what the link carries, and sends it to a receiver."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from types import TracebackType

from lowbeam.codec.budget import parse_budget
from lowbeam.codec.registry import codec_named
from lowbeam.errors import UsageError
from lowbeam.faces import FaceTracker, YunetDetector
from lowbeam.link.bandwidth import START_BPS
from lowbeam.link.messages import Ask
from lowbeam.link.policy import LinkLayers, link_layers
from lowbeam.link.quic import parse_address, parse_pin
from lowbeam.link.recording_sender import Repair
from lowbeam.link.sender import Sender
from lowbeam.link.sender_connection import SendingOptions
from lowbeam.link.spool import Spool
from lowbeam.media import Frame, StillSource, VideoSource, open_video, opened
from lowbeam.mirror import ReceiverMirror
from lowbeam.pipeline.options import FacesChoice, check_faces
from lowbeam.pipeline.sources import find_faces
from lowbeam.recognize import DEFAULT_MODEL, Recognizer

AUTO = "auto"
MAX_LATENCY_S = 10.0
LATENCY_S = 0.2  # that a coded face may wait to share a packet with others
LATE_S = 0.3  # a frame of a file that is read so late, as it plays in real time, is skipped
FINISH_S = 30.0


@dataclass(frozen=True)
class Sent:
    """The result of `send`: `coded` faces in `duration_s` seconds of source; `wire_bytes`, all bytes sent, with
    IPv4 and UDP headers; `is_stored`, whether the receiver has stored every face; `held_back`, frames whose face was
    not coded since the link was choked."""

    coded: int
    duration_s: float
    wire_bytes: int
    is_stored: bool
    held_back: int


def send(
    source: str | os.PathLike[str], to: str, *, token: str, pin: str | None = None, budget: str = AUTO,
    latency_s: float | None = None, spool: str | os.PathLike[str] | None = None, faces: FacesChoice = "primary",
    codec: str | None = None, layers: str | None = None, key_face: bool = False,
    model: str | os.PathLike[str] = DEFAULT_MODEL, loop: bool = False, fast: bool = False, name: str | None = None,
    finish_s: float = FINISH_S, repair: Repair = Repair.CHEAPEST,
) -> Sent:  # fmt: skip
    """Find the face in `source` (a video file, ``camera:N``, a URL, a named pipe or ``-``) and send it to the receiver
    at `to` (``lowbeam://HOST:PORT``), while the source runs. A file plays in real time, with `loop` again and again.

    The rate follows what the link carries, up to `budget` (``"auto"``: no other limit). While the link is busy, a face
    may wait `latency_s` seconds to share a packet with others, by default 0.2; a compact `codec` gathers samples for
    this time, by default for as long as the rate demands. `layers` and `key_face` are those of `lowbeam.pack`. Faces
    that are lost, or made while the link is down, are kept in the folder `spool` (None: in memory) and sent later; with
    a folder also those of earlier runs. With `fast` a recording is not played but sent as fast as the link carries it,
    coded within `budget` by its own time. A receiver that cannot be reached, or whose name has no address yet, is tried
    again and again while faces are kept. At the end,
    `send` waits `finish_s` seconds until all is stored. `pin` is the SHA-256 fingerprint of the receiver's certificate;
    if None the certificate must be signed by a known authority. `name` is shown to those who watch.

    Raises `UsageError`, `SourceError`, `CodecError`, `ModelError` or `OutputError`.
    """
    check_faces(faces)
    if latency_s is not None and not 0 <= latency_s <= MAX_LATENCY_S:
        raise UsageError(f"latency {latency_s:g} is out of range: 0 to {MAX_LATENCY_S:g} seconds")
    most = None if budget == AUTO else parse_budget(budget).bps
    if fast and loop:
        raise UsageError("--fast and --loop cannot be combined")
    options = SendingOptions(
        parse_address(to), token, None if pin is None else parse_pin(pin), _wait_s(codec, layers, latency_s), most,
        repair,
    )  # fmt: skip
    layered = link_layers(codec, layers, is_fast=fast, latency_s=latency_s, key_face=key_face)
    if key_face:
        layered.check_key_face()
    recognizer = Recognizer(model)
    shown = name if name is not None else os.fspath(source)
    held, looks = Spool(spool), _Looks(layered)
    try:
        with (
            _Player(source, loop, fast) as player,
            Sender(
                options, held, layered, name=shown, make_mirror=lambda: ReceiverMirror(recognizer), is_fast=fast,
                on_ask=looks.take,
            ) as sender,
        ):  # fmt: skip
            coded, duration_s = _send_frames(sender, layered, looks, player, faces, most)
            is_stored = sender.finish(finish_s)
        return Sent(coded, duration_s, sender.core.wire_bytes, is_stored, layered.held_back)
    finally:
        held.close()


def _wait_s(codec: str | None, layers: str | None, latency_s: float | None) -> float:
    """Seconds that a coded face waits to share a packet with others; a packet of a compact codec does not."""
    if layers is not None:
        return LATENCY_S
    if codec is not None and codec_named(codec).kind != "pixels":
        return 0.0
    return LATENCY_S if latency_s is None else latency_s


class _Looks:
    """Better looks that the receiver asks for."""

    def __init__(self, layers: LinkLayers) -> None:
        self._layers, self._asked_s = layers, 0.0

    def take(self, ask: Ask) -> None:
        """A request came, in the thread of the link."""
        if ask.look_s:
            self._asked_s = float(ask.look_s)

    def begin_at(self, time_s: float) -> None:
        """Begin a look that was asked for."""
        if self._asked_s:
            self._layers.look_closer(time_s + self._asked_s)
            self._asked_s = 0.0


def _send_frames(
    sender: Sender,
    layers: LinkLayers,
    looks: _Looks,
    player: "_Player",
    faces: FacesChoice,
    most: float | None,
) -> tuple[int, float]:
    """Send the faces of all frames; returns the number of coded faces and the length of the source in seconds."""
    tracker, coded, last_s = FaceTracker(YunetDetector()), 0, 0.0
    for frame in player:
        last_s = frame.time_s
        looks.begin_at(last_s)
        if player.is_fast:
            layers.follow(most or START_BPS, False, last_s)
        else:
            layers.follow(sender.budget_bps, not sender.may_code, last_s)
        if layers.looks_at(last_s):
            coded += sender.send(last_s, find_faces(frame, tracker, faces).faces, str(layers.point))
    return coded, last_s


class _Player:
    """The frames of a source in real time; those of a live source as they come. Frames that are read late are skipped,
    unless it `is_fast`. A context manager, which opens the source: what takes time is done before the sender's clock
    starts."""

    def __init__(self, source: str | os.PathLike[str], is_loop: bool, is_fast: bool) -> None:
        self._source, self._is_loop, self.is_fast = source, is_loop, is_fast

    def __enter__(self) -> "_Player":
        self._opened = ExitStack()
        self._open()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._opened.close()

    def __iter__(self) -> Iterator[Frame]:
        begun_s, offset_s = time.monotonic(), 0.0
        while True:
            last_s = 0.0
            for frame in self._video:
                last_s = frame.time_s
                placed = replace(frame, time_s=offset_s + frame.time_s)
                if self._is_on_time(self._video, placed.time_s - (time.monotonic() - begun_s)):
                    yield placed
            self._opened.close()  # also at the end: no camera stays on, and no signal is taken, while faces are stored
            if not self._is_loop or self._video.is_live or self._video.is_stopped:
                return
            offset_s += last_s + 1 / self._video.fps
            self._open()

    def _open(self) -> None:
        self._video = open_video(opened(self._source))
        self._opened.enter_context(self._video)

    def _is_on_time(self, video: VideoSource | StillSource, early_s: float) -> bool:
        if self.is_fast or video.is_live:
            return True
        if early_s > 0:
            time.sleep(early_s)
        return early_s > -LATE_S
