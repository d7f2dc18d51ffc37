"""Reads the faces of a live video, frame by frame."""

from collections.abc import Iterator

from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from lowbeam.estimator import Estimator
from lowbeam.face import Face
from lowbeam.faces import FaceTracker, FrameFaces, YunetDetector
from lowbeam.media import Frame
from lowbeam.pipeline.estimate import LIVE_BATCH, estimates_of
from lowbeam.pipeline.sources import find_faces
from lowbeam.trace import Estimate


class VideoReader:
    """Finds, tracks and estimates the faces of one video, with `estimator` and the memory of each person."""

    def __init__(self, estimator: Estimator) -> None:
        self._tracker = FaceTracker(YunetDetector())
        self._converter = VideoReformatter()
        self._next: Frame | None = None
        self._read = estimates_of(self._frames(), estimator, LIVE_BATCH, keep_frames=True)

    def read(self, picture: VideoFrame, time_s: float) -> list[tuple[Face, Estimate]]:
        """The faces of `picture`, shown at `time_s` (seconds, increasing), each with its estimate."""
        self._next = Frame(time_s, picture, self._converter)
        frame, estimates = next(self._read)
        return list(zip(frame.faces, estimates, strict=True))

    def _frames(self) -> Iterator[FrameFaces]:
        while self._next is not None:
            frame, self._next = self._next, None
            yield find_faces(frame, self._tracker, "all")
