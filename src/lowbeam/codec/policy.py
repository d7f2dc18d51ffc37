"""Which faces of a track are coded, and at which operating point."""

from typing import Protocol

from lowbeam.codec.operating_point import FrameRateLimiter, OperatingPoint


class Policy(Protocol):
    """Decides when faces are coded, at which `point`, and whether what they came to is sent. `may_change` tells whether
    the point may be another later."""

    may_change: bool

    @property
    def point(self) -> OperatingPoint:
        """The operating point now."""

    def wants(self, time_s: float) -> bool:
        """Whether faces of the frame at `time_s` are to be coded: asked once a frame, in order, before faces are looked
        for."""

    def admits(self, time_s: float, face_bytes: int, cue_bytes: int, is_key: bool) -> bool:
        """Whether a coded face and the cues before it are sent; takes note of them."""


class Fixed:
    """One operating point, at most its frames a second, and every face is sent."""

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
