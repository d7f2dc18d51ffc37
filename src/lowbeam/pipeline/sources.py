"""Any source as the faces of its frames: face streams as they are, and videos in which faces are found first."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby
from statistics import median
from typing import Protocol

from lowbeam.container.layout import is_face_stream, is_head_of_face_stream
from lowbeam.container.reader import FaceStreamReader
from lowbeam.container.returning import ReturningReader
from lowbeam.face import Face
from lowbeam.faces import Detector, FaceTracker, FrameFaces, crop
from lowbeam.media import Frame, PipeInput, StillSource, VideoSource, is_url, open_video, opened
from lowbeam.pipeline.options import Counted, FacesChoice, Section
from lowbeam.progress import Progress

INTERVALS = 8  # between faces, of which the median is the usual one
AWAY_INTERVALS = 2.5  # after which a face is away
AWAY_S = 2.5  # and where the frame rate may change, as with a budget: longer than the longest interval by as much


class FaceSource(Protocol):
    """The faces of a source's frames, in order. `size` is (width, height) in pixels; `is_live` tells sources that end
    by a signal or by themselves; `cut_at_s` is known at the end."""

    name: str
    fps: float
    is_live: bool

    @property
    def is_stopped(self) -> bool: ...
    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def cut_at_s(self) -> float | None: ...
    def __iter__(self) -> Iterator[FrameFaces]: ...


class VideoFaces:
    """The faces of a video, each found and cut."""

    def __init__(
        self, video: VideoSource | StillSource, tracker: FaceTracker, faces: FacesChoice, section: Section,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        self.name, self.fps, self.is_live = video.name, video.fps, video.is_live
        self._video, self._tracker, self._faces = video, tracker, faces
        self._frames = section.of(Counted(video, progress, video.frame_count))

    @property
    def is_stopped(self) -> bool:
        """Whether a signal ended it."""
        return self._video.is_stopped

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels as coded, before any turn that the source asks for."""
        return self._video.size

    @property
    def cut_at_s(self) -> float | None:
        """Where a live source broke off."""
        return self._video.cut_at_s

    def __iter__(self) -> Iterator[FrameFaces]:
        return (find_faces(frame, self._tracker, self._faces) for frame in self._frames)


class StreamFaces:
    """The faces of a face stream, brought together by time."""

    def __init__(
        self, reader: FaceStreamReader | ReturningReader, section: Section, progress: Progress | None
    ) -> None:  # fmt: skip
        self.name, self.fps, self.is_live = reader.name, reader.fps, reader.is_live
        self._reader = reader
        self._faces = section.of(Counted(reader, progress, None))

    @property
    def is_stopped(self) -> bool:
        """Whether a signal ended it."""
        return self._reader.is_stopped

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the source in pixels."""
        return self._reader.size

    @property
    def cut_at_s(self) -> float | None:
        """Where the stream breaks off."""
        return self._reader.cut_at_s

    def __iter__(self) -> Iterator[FrameFaces]:
        # Of a live stream of several tracks each face is passed on at once: others of its time may never come.
        frames = (FrameFaces(f.time_s, [f]) for f in self._faces) if self.is_live else _by_time(self._faces)
        return with_absences(frames, AWAY_S if self._reader.may_change else 0.0)


def find_faces(frame: Frame, tracker: FaceTracker, faces: FacesChoice) -> FrameFaces:
    """Find and cut the faces of a frame; the primary first, or alone."""
    sightings = tracker.update(frame.grey, frame.time_s)
    if faces == "primary":
        sightings = sightings[:1]
    found = [Face(frame.time_s, s.face, s.box, crop(frame.grey, s.box)) for s in sightings]
    return FrameFaces(frame.time_s, found, frame, frame.size)


def _by_time(faces: Iterable[Face]) -> Iterator[FrameFaces]:
    for time_s, together in groupby(faces, key=lambda face: face.time_s):
        yield FrameFaces(time_s, list(together))


def with_absences(frames: Iterable[FrameFaces], away_s: float) -> Iterator[FrameFaces]:
    """`frames`, and where faces are away for longer than usual, and for more than `away_s`, a frame without faces that
    says so. What is usual is measured: a stated frame rate is an upper bound."""
    intervals: deque[float] = deque(maxlen=INTERVALS)
    last_s: float | None = None
    for frame in frames:
        if last_s is not None:
            interval_s = frame.time_s - last_s
            usual_s = median(intervals) if intervals else interval_s
            if interval_s > max(AWAY_INTERVALS * usual_s, away_s):
                yield FrameFaces(last_s + usual_s, [])
            elif interval_s > 0:
                intervals.append(interval_s)
        last_s = frame.time_s
        yield frame


@contextmanager
def open_faces(
    source: str | os.PathLike, make_detector: Callable[[], Detector], faces: FacesChoice, section: Section,
    progress: Progress | None = None,
) -> Iterator[FaceSource]:  # fmt: skip
    """Open a face stream, a video file, ``camera:N``, a URL, a named pipe or ``-``. Raises `SourceError`,
    `StreamError`, `UsageError` or `ModelError`."""
    found = opened(source, is_head_of_face_stream)
    with ExitStack() as stack:
        if not is_face_stream(found):
            video: VideoSource | StillSource = open_video(found)
            stack.push(video.__exit__)
            if not (is_url(found) and isinstance(video, VideoSource) and "LOWBEAM" in video.tags):
                yield VideoFaces(video, FaceTracker(make_detector()), faces, section, progress)
                return
            stack.close()  # a face stream at a URL, which is seen only now
        primary_only = faces == "primary"
        if isinstance(found, PipeInput):
            yield StreamFaces(stack.enter_context(ReturningReader(found, primary_only)), section, progress)
        else:
            yield StreamFaces(stack.enter_context(FaceStreamReader(found, primary_only)), section, progress)
