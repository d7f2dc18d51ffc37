"""A budget in bits per second: how it is written, what it counts, and what is told of it in the end."""

import math
import re
from dataclasses import dataclass
from typing import get_args

import numpy as np

from lowbeam.codec.operating_point import OperatingPoint
from lowbeam.codec.operating_table import Counts
from lowbeam.codec.wire import rtp_bytes
from lowbeam.errors import UsageError

WINDOW_S = 10.0  # over which a budget holds
MARGIN = 0.95  # of the budget that a point is chosen for
UNITS = {"bps": 1, "kbps": 1e3, "mbps": 1e6, "bit/s": 1, "kbit/s": 1e3, "mbit/s": 1e6}


@dataclass(frozen=True)
class Budget:
    """At most `bps` bits per second of what `counts` names."""

    bps: float
    counts: Counts = "wire"

    @property
    def window_bytes(self) -> float:
        """Bytes that any `WINDOW_S` may hold."""
        return self.bps * WINDOW_S / 8

    def weigh(self, face_bytes: int, cue_bytes: int) -> int:
        """Bytes that a face and its cue count for."""
        return face_bytes if self.counts == "payload" else rtp_bytes(np.array([face_bytes + cue_bytes]))


@dataclass(frozen=True)
class BudgetReport:
    """How a budget was kept. `most_bps` is the most that any `WINDOW_S` came to, of what the budget counts;
    `is_reachable` whether the leanest point is within it at all; `chosen` the points that were used, each with the time
    in seconds from which on; `held_back` how often a frame was due and no face of it was sent, since it would not have
    fitted; `expected_ccc` the CCC to expect."""

    budget: Budget
    most_bps: float
    is_reachable: bool
    chosen: list[tuple[float, OperatingPoint]]
    held_back: int
    expected_ccc: float


def parse_budget(text: str, counts: str = "wire") -> Budget:
    """A budget from a number and a unit: ``"3kbps"``, ``"800 bit/s"``.

    Raises `UsageError` for a unit that is not known, a budget that is not positive, or `counts` of another name.
    """
    found = re.fullmatch(r"\s*([-+]?[0-9.]+(?:e[-+]?[0-9]+)?)\s*([a-z/]*)\s*", text.lower())
    if counts not in get_args(Counts):
        raise UsageError(f"budget of {counts} is not one of {', '.join(get_args(Counts))}")
    try:
        value = float(found[1]) if found else math.nan
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise UsageError(f"budget {text} is not a number and a unit; 3kbps is")
    unit = found[2] if found else ""
    if unit not in UNITS:
        raise UsageError(f"budget {text}: unit {unit or '(none)'} is not one of {', '.join(UNITS)}")
    if not 0 < value * UNITS[unit] < math.inf:
        raise UsageError(f"budget {text} must be more than nothing")
    return Budget(value * UNITS[unit], counts)  # type: ignore[arg-type]  # it was just checked
