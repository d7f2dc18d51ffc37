"""The two halves of the street: `pack` on the camera's side, `read` on the far side. Both go frame by frame: what
grows with the video's length is the trace alone, 72 bytes a reading."""

import math
import os
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from lowbeam.codec.face_stream import FaceStreamReader, is_face_stream
from lowbeam.codec.operating_point import OperatingPoint
from lowbeam.codec.packer import AllPacker, PrimaryPacker
from lowbeam.errors import NoFaceError, StreamError, UsageError
from lowbeam.faces import Face, FaceTracker, crop, make_detector
from lowbeam.files import Pipe, check_outputs, whole_file
from lowbeam.media import Frame, VideoSource, opened
from lowbeam.overlay import OverlayWriter
from lowbeam.recognize import DEFAULT_MODEL, Recognizer
from lowbeam.restore import Restorer
from lowbeam.scale import FACE_SIDE, Faces
from lowbeam.trace import Row, Trace

FacesChoice = Literal["primary", "all"]
Progress = Callable[[int, int | None], None]  # frames done, frames in all where known

BATCH = 32  # faces read at a time from a file
OVERLAY_BATCH = 8  # with an overlay whole frames wait for their batch
EARLY_S = 0.01  # a frame that is this early is in time: clocks round, and cameras jitter
MAX_WAITING = 128  # frames that may wait for their batch to fill


@dataclass(frozen=True)
class Sight:
    """The faces at one time; the frame that they were seen in, and its (width, height), where the source has frames."""

    time_s: float
    faces: list[Face]
    frame: Frame | None = None
    source_size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Packed:
    """What `pack` did. `coded` faces in `tracks` tracks over `duration_s` seconds of video made `size_bytes`, container
    and all; `left_out` faces found no place, since a face stream holds a limited number of tracks."""

    point: OperatingPoint
    coded: int
    tracks: int
    duration_s: float
    size_bytes: int
    left_out: int = 0

    @property
    def rate_bps(self) -> float:
        """Bits per second over the video's length, counting every byte of the file."""
        return 8 * self.size_bytes / self.duration_s


def pack(
    source: str | os.PathLike, out: str | os.PathLike, *, scale: int = 8, codec: str = "hevc", qp: int = 32,
    fps: float = 12.5, faces: FacesChoice = "primary", detector: str = "dlib", progress: Progress | None = None,
) -> Packed:  # fmt: skip
    """Find the face in a video, shrink it by `scale`, code it, and write a face stream to `out` (``-``: standard
    output).

    `source` is as for `lowbeam.media.VideoSource`; the other arguments are those of `OperatingPoint` and
    `make_detector`. With ``faces="all"`` every face has a track of its own, and the file is written at the end.

    Raises `UsageError`, `SourceError`, `NoFaceError`, `CodecError` or `OutputError`; then `out` is not touched.
    """
    point = OperatingPoint(codec, scale, qp, fps)
    _check_choice(faces)
    check_outputs(source, out)
    tracker = FaceTracker(make_detector(detector))
    with ExitStack() as stack:
        video = stack.enter_context(VideoSource(opened(source)))
        to_stdout = os.fspath(out) == "-"
        target = Pipe(sys.stdout.buffer) if to_stdout else stack.enter_context(whole_file(out))
        frames = _Counted(video, progress, video.frame_count)
        packer = (AllPacker if faces == "all" else PrimaryPacker)(point, target)
        try:
            for sight in video_sights(frames, tracker, faces, fps):
                for face in sight.faces:
                    packer.add(face, sight.source_size)
            packer.finish()
        except BaseException:
            packer.abandon()
            raise
        if not packer.coded:
            raise NoFaceError(f"{video.name} shows no face")
        size = target.size if isinstance(target, Pipe) else target.stat().st_size
    return Packed(point, packer.coded, packer.tracks, frames.last_s + 1 / video.fps, size, packer.left_out)


def read(
    source: str | os.PathLike, *, faces: FacesChoice = "primary", model: str | os.PathLike = DEFAULT_MODEL,
    threads: int = 1, detector: str = "dlib", overlay: str | os.PathLike | None = None, restore: bool = False,
    progress: Progress | None = None,
) -> Trace:  # fmt: skip
    """Read valence and arousal from a face stream, or from any video, whose faces are then found first and read at
    scale 1.

    `source` is a face stream, a video file, ``camera:N``, a URL, or ``-``; `model` and `threads` are those of
    `Recognizer`; `overlay` names an MP4 that shows each face with its reading, and with `restore` a restored face
    beside it, a likely picture of what was lost (`lowbeam.restore`); the readings are of what was received.

    A face stream that was cut, or a live one that stalls, is read as far as it goes; the trace's `cut_at_s` says where
    it ends.
    Raises `UsageError`, `SourceError`, `StreamError`, `NoFaceError`, `ModelError` or `OutputError`.
    """
    _check_choice(faces)
    if overlay is not None and Path(overlay).suffix.lower() != ".mp4":
        raise UsageError(f"{overlay}: an overlay is written as .mp4")
    if restore and overlay is None:
        raise UsageError("restored faces are shown in an overlay: name one")
    check_outputs(source, overlay)
    recognizer = Recognizer(model, threads)
    restorer = Restorer(threads=threads) if restore else None
    with ExitStack() as stack:
        whole = opened(source)
        video: FaceStreamReader | VideoSource
        if is_face_stream(whole):
            video = stack.enter_context(FaceStreamReader(whole, primary_only=faces == "primary"))
            sights = stream_sights(_Counted(video, progress, None), video.fps)
        else:
            video = stack.enter_context(VideoSource(whole))
            frames = _Counted(video, progress, video.frame_count)
            sights = video_sights(frames, FaceTracker(make_detector(detector)), faces)
        writer, batch = None, BATCH
        if overlay is not None:
            writer = stack.enter_context(OverlayWriter(stack.enter_context(whole_file(overlay)), video.size, video.fps))
            batch = OVERLAY_BATCH
        rows = array("d")  # an hour of a face at 25 frames a second is 6 MB
        for sight, found in readings(sights, recognizer, batch, keep_frames=writer is not None):
            for row in found:
                rows.extend(row)
            if writer is not None:
                restored = None if restorer is None else _restored(sight.faces, restorer)
                writer.write(sight.time_s, sight.frame, sight.faces, found, restored)
        if not rows and video.cut_at_s is not None:
            raise StreamError(f"{video.name} is cut before its first face")
        if not rows:
            raise NoFaceError(f"{video.name} shows no face")
    return Trace.from_table(np.asarray(rows), source=video.name, model=os.fspath(model), cut_at_s=video.cut_at_s)


def video_sights(
    frames: Iterable[Frame], tracker: FaceTracker, faces: FacesChoice, fps: float = math.inf
) -> Iterator[Sight]:
    """Find and cut the faces of each frame, of at most `fps` frames a second."""
    period_s = 1 / fps
    early_s = min(EARLY_S, period_s / 4)
    due_s = 0.0
    for frame in frames:
        if frame.time_s < due_s - early_s:
            continue
        due_s = max(due_s, frame.time_s - period_s / 2) + period_s
        sightings = tracker.update(frame.grey, frame.time_s)
        if faces == "primary":
            sightings = sightings[:1]
        found = [Face(frame.time_s, s.face, s.box, crop(frame.grey, s.box)) for s in sightings]
        yield Sight(frame.time_s, found, frame, frame.size)


def stream_sights(faces: Iterable[Face], fps: float) -> Iterator[Sight]:
    """Bring together the faces of a face stream that share a time; where faces are away for more than two frames, a
    sight without faces says so."""
    last_s = math.inf
    for time_s, together in groupby(faces, key=lambda face: face.time_s):
        if time_s - last_s > 2.5 / fps:
            yield Sight(last_s + 1 / fps, [])
        last_s = time_s
        yield Sight(time_s, list(together))


def readings(
    sights: Iterable[Sight], recognizer: Recognizer, batch: int, keep_frames: bool
) -> Iterator[tuple[Sight, list[Row]]]:
    """Read the faces of each sight, `batch` faces at a time; frames are let go of early unless they are kept."""
    waiting: list[Sight] = []
    count = 0
    for sight in sights:
        waiting.append(sight if keep_frames else Sight(sight.time_s, sight.faces))
        count += len(sight.faces)
        if count >= batch or len(waiting) >= (batch if keep_frames else MAX_WAITING):
            yield from _read_batch(waiting, recognizer)
            waiting, count = [], 0
    yield from _read_batch(waiting, recognizer)


def _read_batch(sights: list[Sight], recognizer: Recognizer) -> Iterator[tuple[Sight, list[Row]]]:
    values: dict[int, tuple[float, float, float, float]] = {}  # by the identity of each face
    faces = [face for sight in sights for face in sight.faces]
    for side in {len(face.pixels) for face in faces}:
        alike = [face for face in faces if len(face.pixels) == side]
        reading = recognizer(np.stack([face.pixels for face in alike]))
        columns = (reading.valence, reading.arousal, reading.valence_std, reading.arousal_std)
        values |= zip(map(id, alike), zip(*(column.tolist() for column in columns), strict=True), strict=True)
    for sight in sights:
        yield sight, [(f.time_s, f.id, *values[id(f)], f.box.x, f.box.y, f.box.side) for f in sight.faces]


def _restored(faces: list[Face], restorer: Restorer) -> Faces:
    return np.concatenate([np.zeros((0, FACE_SIDE, FACE_SIDE), np.uint8), *(restorer(f.pixels[None]) for f in faces)])


class _Counted:
    """Passes frames or faces on, counting them for a progress bar."""

    def __init__(self, items: Iterable, progress: Progress | None, total: int | None) -> None:
        self._items, self._progress, self._total = items, progress, total
        self.last_s = 0.0

    def __iter__(self) -> Iterator:
        for done, item in enumerate(self._items, 1):
            self.last_s = item.time_s
            yield item
            if self._progress is not None:
                self._progress(done, self._total)


def _check_choice(faces: str) -> None:
    if faces not in get_args(FacesChoice):
        raise UsageError(f"faces {faces} is not one of {', '.join(get_args(FacesChoice))}")
