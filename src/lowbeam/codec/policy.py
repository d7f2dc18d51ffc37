"""Policies: which frames are searched, which faces of a track are coded, and at which operating point."""

import math
from typing import Protocol

from lowbeam.codec.interface import CodedFace, TrackHeader
from lowbeam.codec.operating_point import FrameRateLimiter, OperatingPoint
from lowbeam.face import Face, FaceEstimate


class Policy(Protocol):
    """Decides which frames are searched for faces, which faces are coded, at which `point`, and whether a coded face is
    sent. It is shared by the tracks of a source. `may_change` tells whether the operating point or the frame rate can
    change."""

    may_change: bool

    @property
    def point(self) -> OperatingPoint:
        """The current operating point."""

    def looks_at(self, time_s: float) -> bool:
        """Whether to search the frame at `time_s` (seconds) for faces. Called once per frame, in order."""

    def wants(self, face: Face, debt: float, is_key: bool) -> bool:
        """Whether to code `face`, of which the receiver's mirror has the given `debt`; `is_key` tells whether it would
        be a key face. The faces of a frame come in order, the primary first."""

    def admits(self, face: Face, face_bytes: int, cue_bytes: int, is_key: bool) -> bool:
        """Whether to send the coded `face` and its cues; if so, they are counted."""


class Fixed:
    """One operating point: frames are limited to its frame rate, and all of their faces are sent."""

    may_change = False

    def __init__(self, point: OperatingPoint) -> None:
        self.point = point
        self._limiter = FrameRateLimiter(point.fps)

    def looks_at(self, time_s: float) -> bool:
        """Whether the frame at `time_s` is due."""
        return self._limiter.takes(time_s)

    def wants(self, face: Face, debt: float, is_key: bool) -> bool:
        """Always."""
        return True

    def admits(self, face: Face, face_bytes: int, cue_bytes: int, is_key: bool) -> bool:
        """Always."""
        return True


class Mirror(Protocol):
    """The receiver of one track as the sender knows it: what it has received, and what it estimates from it."""

    def look(self, face: Face) -> None:
        """Estimate the next face at its full size."""

    def receive(self, header: TrackHeader, coded: CodedFace) -> None:
        """Receive a coded face, as the receiver does; `header` is that of its encoder. Raises `StreamError`."""

    def release(self) -> None:
        """Free the decoder. The next face is a key face of another encoder."""

    @property
    def own(self) -> FaceEstimate:
        """The estimate of the last face at its full size."""

    @property
    def debt(self) -> float:
        """The squared error of the receiver's estimate, integrated over the seconds since its last face; infinite
        before the first."""


class NoMirror:
    """For policies that do not ask for the debt, and codecs that do not send estimates."""

    debt = math.inf
    own = FaceEstimate(0.0, 0.0, 1.0, 1.0)

    def look(self, face: Face) -> None:
        """Nothing to do."""

    def receive(self, header: TrackHeader, coded: CodedFace) -> None:
        """Nothing to do."""

    def release(self) -> None:
        """Nothing to do."""
