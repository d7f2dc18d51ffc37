"""One estimate of a trace, and the columns of a trace."""

from typing import NamedTuple


class Estimate(NamedTuple):
    """The estimate of one face in one frame: `time_s` in seconds from the source's first frame; `face`, the id of the
    face; `valence` and `arousal` in [-1, 1] with their calibrated standard deviations; `x`, `y` and `side`, the upper
    left corner and the side of the face's box in source pixels."""

    time_s: float
    face: int
    valence: float
    arousal: float
    valence_std: float
    arousal_std: float
    x: float
    y: float
    side: float


COLUMNS = Estimate._fields
DIGITS = 4  # decimals of floats in text files
