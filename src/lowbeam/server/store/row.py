"""A row: one estimate of a recording."""

import math
from dataclasses import dataclass

from lowbeam.errors import UsageError
from lowbeam.trace import Estimate

MOST = 2**63 - 1  # of a number or the id of a face
MOST_PLACES = 2**31 - 1  # in a packet
LONGEST_S = 1e9  # of a recording


@dataclass(frozen=True)
class Row:
    """The estimate of face `number` of a recording, counted from 0, or of sample `place` of a packet. `arrived_utc` is
    in Unix seconds. A row that is not final may be replaced when the faces before it have arrived. `face` is the coded
    face where faces are kept."""

    number: int
    estimate: Estimate
    arrived_utc: float
    is_final: bool
    face: bytes | None = None
    place: int = 0

    def check(self) -> None:
        """Raise `UsageError` if a value is not finite or too large to be stored."""
        if not (0 <= self.number <= MOST and 0 <= self.estimate.face <= MOST and 0 <= self.place <= MOST_PLACES):
            raise UsageError("the number, the place or the id of a face is out of range")
        if not all(map(math.isfinite, (*self.estimate, self.arrived_utc))) or abs(self.estimate.time_s) > LONGEST_S:
            raise UsageError(f"the estimate of face {self.number} has a value that is not finite or too large")
