"""A face: its box in the source's frame, and what is known of it: pixels, latents, or an estimate."""

from dataclasses import dataclass
from typing import NamedTuple

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


NO_BOX = Box(0.0, 0.0, 1.0)
"""The box of a face of which none was received."""


class FaceEstimate(NamedTuple):
    """Valence and arousal of one face, in [-1, 1], each with its standard deviation."""

    valence: float
    arousal: float
    valence_std: float
    arousal_std: float


class Expressions(NamedTuple):
    """Probabilities of the eight expressions of FER+ (Barsoum et al. 2016) for one face; they add up to 1."""

    neutral: float
    happiness: float
    surprise: float
    sadness: float
    anger: float
    disgust: float
    fear: float
    contempt: float


@dataclass(frozen=True, eq=False)
class Latents:
    """What the features codec tells of a face: `values`, float32 (k,), quantized at `level`, from the finest 0 on."""

    values: NDArray[np.float32]
    level: int


NO_PIXELS: Grey = np.empty((0, 0), np.uint8)
"""The pixels of a face of which nothing can be looked at."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face at `time_s` (seconds): `id` of its track, `box` in source pixels, and what is known of it: grey `pixels`,
    uint8 (d, d), cropped from the frame, or `NO_PIXELS`; where a compact codec sent it, its `latents`, or the
    `estimate` that was made on the encoder side."""

    time_s: float
    id: int
    box: Box
    pixels: Grey
    latents: Latents | None = None
    estimate: FaceEstimate | None = None
