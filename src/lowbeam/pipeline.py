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
from typing import Any, Literal, get_args

import numpy as np

from lowbeam.codec.budget import MARGIN, WINDOW_S, Budget, parse_budget
from lowbeam.codec.budget_packer import BudgetPacker
from lowbeam.codec.face_stream import FaceStreamReader, Target, is_face_stream
from lowbeam.codec.operating_point import OperatingPoint, Pacer
from lowbeam.codec.operating_table import ladder
from lowbeam.codec.packer import AllPacker, PrimaryPacker
from lowbeam.errors import NoFaceError, StreamError, UsageError
from lowbeam.face import Face
from lowbeam.faces import FaceTracker, crop, make_detector
from lowbeam.files import Pipe, check_outputs, whole_file
from lowbeam.media import Frame, VideoSource, opened
from lowbeam.overlay import OverlayWriter
from lowbeam.recognize import DEFAULT_MODEL, Memory, Recognizer
from lowbeam.restore import Restorer
from lowbeam.scale import FACE_SIDE, Faces
from lowbeam.trace import Row, Trace

FacesChoice = Literal["primary", "all"]
Progress = Callable[[int, int | None], None]  # frames done, frames in all where known

BATCH = 32  # faces read at a time from a file
OVERLAY_BATCH = 8  # with an overlay whole frames wait for their batch
FORGET_S = 300.0  # after which what is remembered of a person who is away is let go of
MAX_WAITING = 128  # frames that may wait for their batch to fill


@dataclass(frozen=True)
class Sight:
    """The faces at one time; the frame that they were seen in, and its (width, height), where the source has frames."""

    time_s: float
    faces: list[Face]
    frame: Frame | None = None
    source_size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Kept:
    """How a budget was kept. `most_bps` is the most that any ten seconds came to, of what the budget counts;
    `is_reachable` whether the leanest point is within it at all; `chosen` the points that were used, each with the time
    in seconds from which on; `held_back` faces that were due and not sent; `expected_ccc` the CCC to expect."""

    budget: Budget
    most_bps: float
    is_reachable: bool
    chosen: list[tuple[float, OperatingPoint]]
    held_back: int
    expected_ccc: float


@dataclass(frozen=True)
class Packed:
    """What `pack` did. `coded` faces in `tracks` tracks over `duration_s` seconds of video made `size_bytes`, container
    and all; `left_out` faces found no place, since a face stream holds a limited number of tracks. With a budget `kept`
    tells how it was, and `point` is the first that was used."""

    point: OperatingPoint
    coded: int
    tracks: int
    duration_s: float
    size_bytes: int
    left_out: int = 0
    kept: Kept | None = None

    @property
    def rate_bps(self) -> float:
        """Bits per second over the video's length, counting every byte of the file."""
        return 8 * self.size_bytes / self.duration_s


def pack(
    source: str | os.PathLike, out: str | os.PathLike, *, scale: int | None = None, codec: str | None = None,
    qp: int | None = None, fps: float | None = None, budget: str | None = None, budget_of: str = "wire",
    faces: FacesChoice = "primary", detector: str = "dlib", progress: Progress | None = None,
) -> Packed:  # fmt: skip
    """Find the face in a video, shrink it by `scale`, code it, and write a face stream to `out` (``-``: standard
    output).

    `source` is as for `lowbeam.media.VideoSource`; scale, codec, QP and frame rate are those of `OperatingPoint`, which
    has the values of what is not given; `detector` is that of `make_detector`. With ``faces="all"`` every face has a
    track of its own, and the file is written at the end.

    With a `budget` such as ``"3kbps"`` the operating table chooses instead, of all codecs or of the one given, and
    goes on choosing, so that no ten seconds hold more: of what goes on the wire as RTP, or with
    ``budget_of="payload"`` of the video alone. A budget below the leanest point is not kept: that point is used, and
    `Packed.kept` says so.

    Raises `UsageError`, `SourceError`, `NoFaceError`, `CodecError` or `OutputError`; then `out` is not touched.
    """
    _check_choice(faces)
    given = {"codec": codec, "scale": scale, "qp": qp, "fps": fps}
    make_packer = _packer(given, budget, budget_of, faces)
    check_outputs(source, out)
    tracker = FaceTracker(make_detector(detector))
    with ExitStack() as stack:
        video = stack.enter_context(VideoSource(opened(source)))
        to_stdout = os.fspath(out) == "-"
        target = Pipe(sys.stdout.buffer) if to_stdout else stack.enter_context(whole_file(out))
        frames = _Counted(video, progress, video.frame_count)
        packer, most_fps = make_packer(target)
        try:
            for sight in video_sights(frames, tracker, faces, most_fps):
                for face in sight.faces:
                    packer.add(face, sight.source_size)
            packer.finish()
        except BaseException:
            packer.abandon()
            raise
        if not packer.coded:
            raise NoFaceError(f"{video.name} shows no face")
        size = target.size if isinstance(target, Pipe) else target.stat().st_size
    point, kept = packer.point, None
    if isinstance(packer, BudgetPacker):
        kept = Kept(
            packer.budget, 8 * packer.most_bytes / WINDOW_S, packer.is_reachable, packer.chosen, packer.held_back,
            packer.expected_ccc,
        )  # fmt: skip
    return Packed(point, packer.coded, packer.tracks, frames.last_s + 1 / video.fps, size, packer.left_out, kept)


Packer = PrimaryPacker | AllPacker | BudgetPacker


def _packer(
    given: dict[str, Any], budget: str | None, budget_of: str, faces: FacesChoice
) -> Callable[[Target], tuple[Packer, float]]:
    """What makes the packer of a target, with the most frames a second that it takes. `given` are the settings of the
    operating point that are not None."""
    set_by_hand = {name: value for name, value in given.items() if value is not None}
    if budget is None:
        if budget_of != "wire":
            raise UsageError("what a budget is of needs a budget")
        point = OperatingPoint(**set_by_hand)
        return lambda target: ((AllPacker if faces == "all" else PrimaryPacker)(point, target), point.fps)
    wanted = parse_budget(budget, budget_of)
    if faces != "primary":
        raise UsageError("a budget is for the primary face alone")
    if set_by_hand.keys() - {"codec"}:
        raise UsageError("a budget chooses scale, QP and frame rate: give it, or them")
    if "codec" in set_by_hand:
        OperatingPoint(codec=set_by_hand["codec"])  # is it one?
    rungs = ladder(wanted.counts, MARGIN * wanted.bps, set_by_hand.get("codec"))
    if not rungs:
        raise UsageError(f"the operating table has nothing of {set_by_hand['codec']}")
    return lambda target: (BudgetPacker(wanted, rungs, target), max(rung.point.fps for rung in rungs))


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
    pacer = Pacer(fps)
    for frame in frames:
        if not pacer.takes(frame.time_s):
            continue
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
    """Read the faces of each sight, `batch` faces at a time, each person's in the light of what came before; frames are
    let go of early unless they are kept."""
    people: dict[int, Memory] = {}
    waiting: list[Sight] = []
    count = 0
    for sight in sights:
        waiting.append(sight if keep_frames else Sight(sight.time_s, sight.faces))
        count += len(sight.faces)
        if count >= batch or len(waiting) >= (batch if keep_frames else MAX_WAITING):
            yield from _read_batch(waiting, recognizer, people)
            waiting, count = [], 0
    yield from _read_batch(waiting, recognizer, people)


def _read_batch(
    sights: list[Sight], recognizer: Recognizer, people: dict[int, Memory]
) -> Iterator[tuple[Sight, list[Row]]]:
    """Read the faces of `sights`; `people` is what is remembered of each, by id."""
    values: dict[int, tuple[float, float, float, float]] = {}  # by the identity of each face
    faces = [face for sight in sights for face in sight.faces]
    for run in _runs(faces, by_person=recognizer.remembers):
        pixels, memory = np.stack([face.pixels for face in run]), people.get(run[0].id)
        if recognizer.remembers and (memory is None or run[0].time_s > memory.time_s):
            reading, memory = recognizer.follow(pixels, [face.time_s for face in run], memory)
            if memory is not None:
                people[run[0].id] = memory
        else:  # a model that does not remember, or a clock that stands still
            reading = recognizer(pixels)
        columns = (reading.valence, reading.arousal, reading.valence_std, reading.arousal_std)
        values |= zip(map(id, run), zip(*(column.tolist() for column in columns), strict=True), strict=True)
    if faces:
        for person in [p for p, memory in people.items() if memory.time_s < faces[-1].time_s - FORGET_S]:
            del people[person]
    for sight in sights:
        yield sight, [(f.time_s, f.id, *values[id(f)], f.box.x, f.box.y, f.box.side) for f in sight.faces]


def _runs(faces: list[Face], by_person: bool) -> list[list[Face]]:
    """Faces that are read together: those of one side, and with `by_person` of one person while time rises."""
    runs: list[list[Face]] = []
    latest: dict[int, list[Face]] = {}  # by person, or by side
    for face in faces:
        key = face.id if by_person else len(face.pixels)
        run = latest.get(key)
        alike = run is not None and len(run[-1].pixels) == len(face.pixels)
        if run is not None and alike and (not by_person or face.time_s > run[-1].time_s):
            run.append(face)
        else:
            latest[key] = [face]
            runs.append(latest[key])
    return runs


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
