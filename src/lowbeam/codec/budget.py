"""A budget in bits per second: how it is parsed, what it counts, and the report on how it was kept."""

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from lowbeam.codec.operating_point import OperatingPoint
from lowbeam.codec.operating_table import Kept
from lowbeam.codec.wire import FILE_CUE, FILE_FACE, quic_bytes, rtp_bytes
from lowbeam.errors import UsageError

WINDOW_S = 10.0  # length of the window in which a budget holds
# What a budget counts: RTP/UDP/IPv4 packets, the video alone, the file, or QUIC/UDP/IPv4 packets of the link.
Counts = Literal["wire", "payload", "file", "link"]
MIN_BPS = 1.0
UNITS = {"bps": 1, "kbps": 1e3, "mbps": 1e6, "bit/s": 1, "kbit/s": 1e3, "mbit/s": 1e6}


@dataclass(frozen=True)
class Budget:
    """At most `bps` bits per second of what `counts` names: ``wire`` (RTP packets), ``payload`` (the video alone),
    ``file`` (the face stream without its header of about 1 kB, in which a face costs `face_overhead` bytes more) or
    ``link`` (packets of the live link)."""

    bps: float
    counts: Counts = "wire"
    face_overhead: int = FILE_FACE

    @property
    def window_bytes(self) -> float:
        """Most bytes in any `WINDOW_S`."""
        return self.bps * WINDOW_S / 8

    def weigh(self, face_bytes: int, cue_bytes: int) -> int:
        """Bytes by which a face and its cues count towards the budget."""
        if self.counts == "payload":
            return face_bytes
        if self.counts == "file":
            return face_bytes + self.face_overhead + (cue_bytes + FILE_CUE if cue_bytes else 0)
        packets = quic_bytes if self.counts == "link" else rtp_bytes
        return packets(np.array([face_bytes + cue_bytes]))


@dataclass(frozen=True)
class BudgetReport:
    """How a budget was kept. `most_bps` is the highest rate in any `WINDOW_S`, of what the budget counts;
    `is_reachable` tells whether the cheapest operating point is within the budget; `chosen` lists the operating points
    that were used, each with its start time in seconds; `held_back` is the number of due frames whose face was not sent
    because it would have exceeded the budget; `expected` is what was kept at such a budget when the table was made,
    None below its lowest budget. `latency_s` are the seconds of samples in a packet of a compact codec, whose quality
    is chosen for each packet. With two layers, `lean` is the report of the lean one, and `chosen` and `expected` are
    those of the other."""

    budget: Budget
    most_bps: float
    is_reachable: bool
    chosen: list[tuple[float, OperatingPoint]]
    held_back: int
    expected: Kept | None
    latency_s: float = 0.0
    lean: "BudgetReport | None" = None


def parse_budget(text: str, counts: str = "wire") -> Budget:
    """A budget from a number and a unit of `UNITS`: ``"3kbps"``, ``"800 bit/s"``.

    Raises `UsageError` for an unknown unit, a budget that is less than `MIN_BPS`, or another value of `counts`.
    """
    found = re.fullmatch(r"\s*([-+]?[0-9.]+(?:e[-+]?[0-9]+)?)\s*([a-z/]*)\s*", text.lower())
    if counts not in get_args(Counts):
        raise UsageError(f"budget of {counts} is not one of {', '.join(get_args(Counts))}")
    try:
        value = float(found[1]) if found else math.nan
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise UsageError(f"budget {text} is not a number and a unit, such as 3kbps")
    unit = found[2] if found else ""
    if unit not in UNITS:
        raise UsageError(f"budget {text}: unit {unit or '(none)'} is not one of {', '.join(UNITS)}")
    if not MIN_BPS <= value * UNITS[unit] < math.inf:
        raise UsageError(f"budget {text} must be at least {MIN_BPS:g} bps, and finite")
    return Budget(value * UNITS[unit], counts)  # type: ignore[arg-type]  # checked above
