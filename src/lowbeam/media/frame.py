"""A decoded frame, and its orientation."""

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from lowbeam.errors import SourceError
from lowbeam.face import Grey

Rgb = NDArray[np.uint8]  # (h, w, 3)


@dataclass(frozen=True)
class Orientation:
    """How a coded picture becomes upright: it is mirrored left to right if `mirrored`, then rotated counter-clockwise
    by `quarter_turns` (0 to 3)."""

    quarter_turns: int = 0
    mirrored: bool = False

    @property
    def swaps_sides(self) -> bool:
        """Whether width and height are exchanged."""
        return self.quarter_turns % 2 == 1

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The upright picture of `pixels`, uint8 (h, w) or (h, w, 3)."""
        flipped = pixels[:, ::-1] if self.mirrored else pixels
        return np.ascontiguousarray(np.rot90(flipped, self.quarter_turns))


UPRIGHT = Orientation()


def orientation_of(picture: VideoFrame, name: str) -> Orientation:
    """The orientation that the display matrix of `picture` states (ISO/IEC 14496-12, 6.2.2), to the nearest quarter
    turn. `name` is that of the source.

    Raises `SourceError` if the matrix is singular.
    """
    try:
        found = picture.side_data.get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-overload]
    except ValueError:  # the picture has side data of a kind that PyAV does not know
        return Orientation(round(picture.rotation / 90) % 4) if math.isfinite(picture.rotation) else UPRIGHT
    if found is None:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("<9i", bytes(found)[:36])
    determinant = a * d - b * c
    if determinant == 0:
        raise SourceError(f"{name} is damaged: its display matrix is singular")
    # A point (x, y) of the coded picture, y downwards, is shown at (a x + c y, b x + d y).
    mirrored = determinant < 0
    right, down = (-a, -b) if mirrored else (a, b)
    return Orientation(round(-math.degrees(math.atan2(down, right)) / 90) % 4, mirrored)


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded frame. `time_s` is its presentation time in seconds from the source's first frame; `pixel_aspect` is
    the width of a coded pixel over its height. `grey` and `rgb` are upright and have square pixels."""

    time_s: float
    picture: VideoFrame
    converter: VideoReformatter  # shared by a source's frames: setting it up takes longer than using it
    pixel_aspect: Fraction = Fraction(1)
    orientation: Orientation = UPRIGHT

    def _upright(self, format_name: str) -> NDArray[np.uint8]:
        pixels = self.converter.reformat(self.picture, width=self._square_width, format=format_name).to_ndarray()
        return self.orientation.apply(pixels.view(np.uint8))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture in pixels."""
        width, height = self._square_width, self.picture.height
        return (height, width) if self.orientation.swaps_sides else (width, height)

    @property
    def _square_width(self) -> int:
        return max(1, round(self.picture.width * self.pixel_aspect))

    @cached_property
    def grey(self) -> Grey:
        """Full-range luma, uint8 (h, w), upright."""
        return self._upright("gray")

    @cached_property
    def rgb(self) -> Rgb:
        """RGB colours, uint8 (h, w, 3), upright."""
        return self._upright("rgb24")
