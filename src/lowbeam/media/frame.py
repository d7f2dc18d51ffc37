"""A decoded frame, and how it is turned upright."""

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
    """How a coded picture becomes upright: mirrored left to right first where `mirrored`, then turned
    counter-clockwise by `quarter_turns`."""

    quarter_turns: int = 0
    mirrored: bool = False

    @property
    def swaps_sides(self) -> bool:
        """Whether width and height change places."""
        return self.quarter_turns % 2 == 1

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The upright picture of `pixels`, uint8 (h, w) or (h, w, 3)."""
        flipped = pixels[:, ::-1] if self.mirrored else pixels
        return np.ascontiguousarray(np.rot90(flipped, self.quarter_turns))


UPRIGHT = Orientation()


def orientation_of(picture: VideoFrame, name: str) -> Orientation:
    """What the display matrix of a `picture` of the source `name` asks for (ISO/IEC 14496-12, 6.2.2), to the nearest
    quarter turn.

    Raises `SourceError` where the matrix is singular.
    """
    try:
        found = picture.side_data.get(SideDataType.DISPLAYMATRIX)  # type: ignore[call-overload]
    except ValueError:  # PyAV does not know another kind of side data of this picture
        return Orientation(round(picture.rotation / 90) % 4) if math.isfinite(picture.rotation) else UPRIGHT
    if found is None:
        return UPRIGHT
    a, b, _, c, d, *_ = struct.unpack("<9i", bytes(found)[:36])
    determinant = a * d - b * c
    if determinant == 0:
        raise SourceError(f"{name} states a display matrix that cannot be (singular)")
    # A point (x, y) of the coded picture, y downwards, is shown at (a x + c y, b x + d y).
    mirrored = determinant < 0
    right, down = (-a, -b) if mirrored else (a, b)
    return Orientation(round(-math.degrees(math.atan2(down, right)) / 90) % 4, mirrored)


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded frame. `time_s` is its presentation time in seconds from the source's first frame."""

    time_s: float
    picture: VideoFrame
    converter: VideoReformatter  # one a source: setting it up costs ten times as much as using it
    pixel_aspect: Fraction = Fraction(1)  # width of a coded pixel over its height
    orientation: Orientation = UPRIGHT

    def _upright(self, format_name: str) -> NDArray[np.uint8]:
        pixels = self.converter.reformat(self.picture, width=self._square_width, format=format_name).to_ndarray()
        return self.orientation.apply(pixels.view(np.uint8))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
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
        """Colours, uint8 (h, w, 3), upright."""
        return self._upright("rgb24")
