"""Policies: which faces of a track are coded, and at which operating point."""

from typing import Protocol

from lowbeam.codec.operating_point import FrameRateLimiter, OperatingPoint


class Policy(Protocol):
    """Decides when faces are coded, at which `point`, and whether a coded face is sent. `may_change` tells whether the
    operating point can change."""

    may_change: bool

    @property
    def point(self) -> OperatingPoint:
        """The current operating point."""

    def wants(self, time_s: float) -> bool:
        """Whether to code the faces of the frame at `time_s` (seconds). Called once per frame, in order, before face
        detection."""

    def admits(self, time_s: float, face_bytes: int, cue_bytes: int, is_key: bool) -> bool:
        """Whether to send a coded face and its cues; if so, they are counted."""


class Fixed:
    """One operating point: frames are limited to its frame rate, and every coded face is sent."""

    may_change = False

    def __init__(self, point: OperatingPoint) -> None:
        self.point = point
        self._limiter = FrameRateLimiter(point.fps)

    def wants(self, time_s: float) -> bool:
        """Whether the frame at `time_s` is due."""
        return self._limiter.takes(time_s)

    def admits(self, time_s: float, face_bytes: int, cue_bytes: int, is_key: bool) -> bool:
        """Always."""
        return True
