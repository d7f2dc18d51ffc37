"""Sources of faces: face streams, and videos in which faces are detected."""

import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby
from statistics import median

from lowbeam.container.layout import is_face_stream, is_head_of_face_stream
from lowbeam.container.reader import FaceStreamReader
from lowbeam.container.returning import ReturningReader
from lowbeam.face import Face
from lowbeam.faces import Detector, FaceTracker, FrameFaces, crop
from lowbeam.media import Frame, PipeInput, StillSource, VideoSource, is_url, open_video, opened
from lowbeam.pipeline.options import Counted, FacesChoice, Section
from lowbeam.progress import Progress

INTERVALS = 8  # between faces, whose median is the usual interval
AWAY_INTERVALS = 2.5  # usual intervals after which a face counts as absent
AWAY_S = 5.0  # seconds after which a face counts as absent at the earliest where faces are sent at irregular times


class FaceSource(ABC):
    """The faces of a source's frames, in order. `fps` is its approximate frame rate; `is_live` is true for cameras,
    URLs and pipes."""

    def __init__(self, source: VideoSource | StillSource | FaceStreamReader | ReturningReader) -> None:
        self.name, self.fps, self.is_live = source.name, source.fps, source.is_live
        self._source = source

    @property
    def is_stopped(self) -> bool:
        """Whether a signal ended the source."""
        return self._source.is_stopped

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the source in pixels; of a video as coded, before rotation."""
        return self._source.size

    @property
    def cut_at_s(self) -> float | None:
        """The time in seconds at which the source was cut, known at the end; None if it was not."""
        return self._source.cut_at_s

    @property
    def point(self) -> str | None:
        """The operating point that a face stream in a file states; None for any other source."""
        return self._source.point if isinstance(self._source, FaceStreamReader) else None

    @property
    def seekable_s(self) -> float | None:
        """The duration in seconds of a video that can be read from its middle; None of any other source."""
        return self._source.duration_s if isinstance(self._source, VideoSource) and self._source.can_seek else None

    @abstractmethod
    def __iter__(self) -> Iterator[FrameFaces]: ...


class VideoFaces(FaceSource):
    """The faces of a video, detected, tracked and cropped."""

    def __init__(
        self, video: VideoSource | StillSource, tracker: FaceTracker, faces: FacesChoice, section: Section,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        super().__init__(video)
        self._tracker, self._faces = tracker, faces
        self._frames = section.of(Counted(video, progress, video.frame_count))

    def __iter__(self) -> Iterator[FrameFaces]:
        return (find_faces(frame, self._tracker, self._faces) for frame in self._frames)


class StreamFaces(FaceSource):
    """The faces of a face stream, grouped by time."""

    def __init__(
        self, reader: FaceStreamReader | ReturningReader, section: Section, progress: Progress | None
    ) -> None:  # fmt: skip
        super().__init__(reader)
        self._away_s = AWAY_S if reader.may_change else 0.0
        self._is_by_face = reader.is_live and not reader.has_layers
        self._faces = section.of(Counted(reader, progress, None))

    def __iter__(self) -> Iterator[FrameFaces]:
        # The faces of a live stream are passed on at once: others of the same time may never arrive. Layers wait for
        # each other in any case.
        frames = (FrameFaces(f.time_s, [f]) for f in self._faces) if self._is_by_face else _by_time(self._faces)
        return with_absences(frames, self._away_s)


def find_faces(frame: Frame, tracker: FaceTracker, faces: FacesChoice) -> FrameFaces:
    """Find and crop the faces of a frame: the primary face, or all with the primary face first."""
    sightings = tracker.update(frame.grey, frame.time_s)
    if faces == "primary":
        sightings = [] if tracker.is_primary_away else sightings[:1]
    found = [Face(frame.time_s, s.face, s.box, crop(frame.grey, s.box)) for s in sightings]
    return FrameFaces(frame.time_s, found, frame, frame.size)


def _by_time(faces: Iterable[Face]) -> Iterator[FrameFaces]:
    for time_s, together in groupby(faces, key=lambda face: face.time_s):
        yield FrameFaces(time_s, list(together))


def with_absences(frames: Iterable[FrameFaces], away_s: float) -> Iterator[FrameFaces]:
    """`frames`, with a frame without faces inserted where faces are absent for longer than the usual interval and
    `away_s` (seconds). The usual interval is measured, since a stated frame rate is only an upper bound."""
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
    source: str | os.PathLike[str], make_detector: Callable[[], Detector], faces: FacesChoice, section: Section,
    progress: Progress | None = None,
) -> Iterator[FaceSource]:  # fmt: skip
    """Open a face stream, a video or picture file, ``camera:N``, a URL, a named pipe or ``-``. Raises `SourceError`,
    `StreamError`, `UsageError` or `ModelError`."""
    found = opened(source, is_head_of_face_stream)
    with ExitStack() as stack:
        if not is_face_stream(found):
            video: VideoSource | StillSource = open_video(found, section.start_s)
            stack.push(video.__exit__)
            if not (is_url(found) and isinstance(video, VideoSource) and "LOWBEAM" in video.tags):
                yield VideoFaces(video, FaceTracker(make_detector()), faces, section, progress)
                return
            stack.close()  # the URL is a face stream, which is known only now
        primary_only = faces == "primary"
        if isinstance(found, PipeInput):
            yield StreamFaces(stack.enter_context(ReturningReader(found, primary_only)), section, progress)
        else:
            yield StreamFaces(stack.enter_context(FaceStreamReader(found, primary_only)), section, progress)
