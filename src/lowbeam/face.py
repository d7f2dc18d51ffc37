"""A face: its box in the source's frame, and its pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]  # (h, w), full-range luma

FRAMING_VERSION = 1  # of the rule that places the box around a face; stated in every face stream


@dataclass(frozen=True)
class Box:
    """A face's square in source pixels: `x`, `y` of the upper left corner, which may lie outside the frame, and
    `side`."""

    x: float
    y: float
    side: float

    @classmethod
    def around(cls, x: float, y: float, side: float) -> "Box":
        """The square of `side` centred at (`x`, `y`)."""
        return cls(x - side / 2, y - side / 2, side)

    @property
    def centre(self) -> tuple[float, float]:
        """Centre of the square, (x, y) in source pixels."""
        return self.x + self.side / 2, self.y + self.side / 2

    def scaled(self, factor: float) -> "Box":
        """The same box in a frame that was resized by `factor`."""
        return Box(self.x * factor, self.y * factor, self.side * factor)

    def overlap(self, other: "Box") -> float:
        """Intersection over union with `other`, in [0, 1]."""
        width = min(self.x + self.side, other.x + other.side) - max(self.x, other.x)
        height = min(self.y + self.side, other.y + other.side) - max(self.y, other.y)
        shared = max(width, 0.0) * max(height, 0.0)
        return shared / (self.side**2 + other.side**2 - shared)


@dataclass(frozen=True, eq=False)
class Face:
    """A face cropped from the frame at `time_s` (seconds): `id` of its track, `box` in source pixels, and grey
    `pixels`, uint8 (d, d)."""

    time_s: float
    id: int
    box: Box
    pixels: Grey
