"""One estimate of a trace, and its columns."""

from typing import NamedTuple


class Estimate(NamedTuple):
    """What was estimated of one face in one frame: `time_s` in seconds from the source's first frame; `face` the id of
    the face; valence and arousal in [-1, 1] and their standard deviations; `x`, `y`, `side` the upper left corner and
    the side of the face's square in source pixels."""

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
DIGITS = 4  # of floats in text files


def as_text(estimate: Estimate) -> list[str]:
    """The cells of a row of a text file."""
    return [str(value) if isinstance(value, int) else f"{value:.{DIGITS}f}" for value in estimate]
