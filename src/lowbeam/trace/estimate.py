"""One estimate of a trace, and the columns of a trace."""

import math
from typing import NamedTuple

from lowbeam.face import Expressions


class Estimate(NamedTuple):
    """The estimate of one face in one frame: `time_s` in seconds from the source's first frame; `face`, the id of the
    face; `valence` and `arousal` in [-1, 1] with their calibrated standard deviations; `x`, `y` and `side`, the upper
    left corner and the side of the face's box in source pixels; `expressions`, the probabilities of its expressions,
    where they were asked for and pixels came."""

    time_s: float
    face: int
    valence: float
    arousal: float
    valence_std: float
    arousal_std: float
    x: float
    y: float
    side: float
    expressions: Expressions | None = None

    def values(self) -> tuple[float, int, float, float, float, float, float, float, float]:
        """The values of `COLUMNS`."""
        return self[:9]

    def named(self) -> dict[str, float]:
        """The values of `COLUMNS` by name."""
        return dict(zip(COLUMNS, self.values(), strict=True))


COLUMNS = Estimate._fields[:-1]  # of every trace
EXPRESSION_COLUMNS = Expressions._fields  # after those, of a trace with expressions
UNKNOWN = (math.nan,) * len(EXPRESSION_COLUMNS)
DIGITS = 4  # decimals of floats in text files


def columns_of(expressions: bool) -> tuple[str, ...]:
    """The columns of a trace, with those of expressions or without."""
    return COLUMNS + EXPRESSION_COLUMNS if expressions else COLUMNS


def row_of(estimate: Estimate, expressions: bool) -> tuple[float, ...]:
    """The values of an estimate in the order of `columns_of`; those of expressions are nan where they are unknown."""
    return (*estimate.values(), *(estimate.expressions or UNKNOWN)) if expressions else estimate.values()
