"""One estimate of a trace, and the columns of a trace."""

import math
from typing import Any, NamedTuple

from lowbeam.face import Expressions


class _Columns(NamedTuple):
    time_s: float
    face: int
    valence: float
    arousal: float
    valence_std: float
    arousal_std: float
    x: float
    y: float
    side: float


class Estimate(_Columns):
    """The estimate of one face in one frame, a tuple: `time_s` in seconds from the source's first frame; `face`, the id
    of the face; `valence` and `arousal` in [-1, 1] with their calibrated standard deviations; `x`, `y` and `side`, the
    upper left corner and the side of the face's box in source pixels. Beside the tuple, `expressions` are the
    probabilities of its expressions, where they were asked for and pixels came."""

    expressions: Expressions | None = None

    def _replace(self, **changes: Any) -> "Estimate":
        """The same estimate with some values changed."""
        return super()._replace(**changes).with_expressions(self.expressions)

    def with_expressions(self, expressions: Expressions | None) -> "Estimate":
        """The same estimate with these expressions."""
        found = Estimate(*self)
        found.expressions = expressions
        return found


COLUMNS = Estimate._fields  # of every trace
EXPRESSION_COLUMNS = Expressions._fields  # after those, of a trace with expressions
UNKNOWN = (math.nan,) * len(EXPRESSION_COLUMNS)
DIGITS = 4  # decimals of floats in text files


def columns_of(expressions: bool) -> tuple[str, ...]:
    """The columns of a trace, with those of expressions or without."""
    return COLUMNS + EXPRESSION_COLUMNS if expressions else COLUMNS


def row_of(estimate: Estimate, expressions: bool) -> tuple[float, ...]:
    """The values of an estimate in the order of `columns_of`; those of expressions are nan where they are unknown."""
    return (*estimate, *(estimate.expressions or UNKNOWN)) if expressions else estimate
