"""The shipped operating table: the Pareto-optimal operating points on the ``valid`` split of the rendered corpus, with
their rates and CCC. ``python -m research operating-table`` writes it from a sweep."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from lowbeam.codec.operating_point import OperatingPoint

TABLE = Path(__file__).with_suffix(".json")

Counts = Literal["wire", "payload"]  # what a budget counts: RTP/UDP/IPv4 packets, or the video alone


@dataclass(frozen=True)
class Entry:
    """An operating point of the table, its mean rates on the wire (RTP) and of the video alone in bits per second, and
    its expected CCC, the mean of valence and arousal."""

    point: OperatingPoint
    wire_bps: float
    payload_bps: float
    ccc: float

    def rate_bps(self, counts: Counts) -> float:
        """The rate that `counts` names, in bits per second."""
        return self.wire_bps if counts == "wire" else self.payload_bps


@cache
def operating_table() -> tuple[Entry, ...]:
    """The entries of the shipped table."""
    return tuple(
        Entry(
            OperatingPoint(row["codec"], row["scale"], row["qp"], row["fps"]), row["wire_bps"], row["payload_bps"],
            row["ccc"],
        )
        for row in json.loads(TABLE.read_text(encoding="utf-8"))["points"]
    )  # fmt: skip


def ladder(counts: Counts, most_bps: float, codec: str | None = None) -> list[Entry]:
    """The Pareto-optimal entries of one codec, by increasing rate and CCC. Without a `codec` it is the one with the
    highest CCC within `most_bps`, or else the lowest rate. Empty if the table has no entry of the codec."""
    codecs = [codec] if codec is not None else sorted({entry.point.codec for entry in operating_table()})
    ladders = [pareto_front([e for e in operating_table() if e.point.codec == name], counts) for name in codecs]

    def worth(rungs: list[Entry]) -> tuple[float, float]:
        within = [entry.ccc for entry in rungs if entry.rate_bps(counts) <= most_bps]
        return (within[-1], 0.0) if within else (-1.0, -rungs[0].rate_bps(counts))

    return max((rungs for rungs in ladders if rungs), key=worth, default=[])


def pareto_front(entries: Iterable[Entry], counts: Counts) -> list[Entry]:
    """The Pareto-optimal ones of `entries`, by increasing rate and CCC."""
    kept: list[Entry] = []
    for entry in sorted(entries, key=lambda e: (e.rate_bps(counts), -e.ccc)):
        if not kept or entry.ccc > kept[-1].ccc:
            kept.append(entry)
    return kept
