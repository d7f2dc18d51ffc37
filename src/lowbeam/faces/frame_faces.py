"""The faces of one frame, as they travel down the street."""

from dataclasses import dataclass

from lowbeam.face import Face
from lowbeam.media import Frame


@dataclass(frozen=True, eq=False)
class FrameFaces:
    """The faces at one time, in seconds; the frame that they were found in, and its (width, height) in pixels, where
    the source has frames. No faces: nobody is there."""

    time_s: float
    faces: list[Face]
    frame: Frame | None = None
    source_size: tuple[int, int] = (0, 0)
