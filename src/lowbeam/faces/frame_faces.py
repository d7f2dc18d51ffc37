"""The faces of one frame."""

from dataclasses import dataclass

from lowbeam.face import Face
from lowbeam.media import Frame


@dataclass(frozen=True, eq=False)
class FrameFaces:
    """The `faces` at `time_s` (seconds), the primary face first; empty if none is in view. `frame` is the frame in
    which they were found and `source_size` its (width, height) in pixels; a face stream has no frames."""

    time_s: float
    faces: list[Face]
    frame: Frame | None = None
    source_size: tuple[int, int] = (0, 0)
