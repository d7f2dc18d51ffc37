"""The operating table that ships: the points that no other beats on rendered people of ``valid``, and what to expect of
them. ``lowbeam evaluate table`` writes it from a sweep."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from lowbeam.codec.operating_point import OperatingPoint

TABLE = Path(__file__).with_suffix(".json")

Counts = Literal["wire", "payload"]  # what a budget is of: RTP/UDP/IPv4 packets, or the video alone


@dataclass(frozen=True)
class Entry:
    """A point of the table, its mean rates on the wire (RTP) and of the video alone, in bits per second, and the CCC to
    expect, the mean of valence's and arousal's."""

    point: OperatingPoint
    wire_bps: float
    payload_bps: float
    ccc: float

    def rate_bps(self, counts: Counts) -> float:
        """The rate that `counts` names."""
        return self.wire_bps if counts == "wire" else self.payload_bps


@cache
def operating_table() -> tuple[Entry, ...]:
    """Every entry of the table that ships."""
    return tuple(
        Entry(
            OperatingPoint(row["codec"], row["scale"], row["qp"], row["fps"]), row["wire_bps"], row["payload_bps"],
            row["ccc"],
        )
        for row in json.loads(TABLE.read_text(encoding="utf-8"))["points"]
    )  # fmt: skip


def ladder(counts: Counts, codec: str | None = None) -> list[Entry]:
    """The entries of one codec that no other of it beats, by rising rate and CCC; without a `codec`, of the one that
    reads best over all budgets. Empty where the table has nothing of it."""
    codecs = [codec] if codec is not None else sorted({entry.point.codec for entry in operating_table()})
    ladders = []
    for name in codecs:
        rungs: list[Entry] = []
        for entry in sorted(operating_table(), key=lambda e: (e.rate_bps(counts), -e.ccc)):
            if entry.point.codec == name and (not rungs or entry.ccc > rungs[-1].ccc):
                rungs.append(entry)
        ladders.append(rungs)
    return max(ladders, key=lambda rungs: sum(e.ccc for e in rungs) / len(rungs) if rungs else 0.0)
