"""The shipped operating table: for each codec and budget, the scale and QP with which rate control keeps most of the
estimates of real and rendered people. ``python -m research operating-table`` measures it."""

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lowbeam.codec.operating_point import OperatingPoint
from lowbeam.codec.registry import Kind, codec_named
from lowbeam.errors import UsageError

TABLE = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Kept:
    """The mean CCC of valence and arousal under rate control, with estimates held: of `real` people with the uncoded
    estimates, and of `rendered` people with the truth."""

    real: float
    rendered: float


@dataclass(frozen=True)
class Entry:
    """An entry of the table: the `point` for a budget of `bps` bits per second. A face has `face_bytes` bytes in the
    mean, and `cue_bytes` of cues."""

    point: OperatingPoint
    bps: float
    face_bytes: float
    cue_bytes: float
    kept: Kept


@cache
def operating_table() -> tuple[Entry, ...]:
    """The entries of the shipped table. Their budgets count RTP packets."""
    return entries_of(json.loads(TABLE.read_text(encoding="utf-8")))


def entries_of(table: dict[str, Any]) -> tuple[Entry, ...]:
    """The entries of a table in the form of its file."""
    return tuple(
        Entry(
            OperatingPoint(row["codec"], row["scale"], row["qp"], row["fps"]), row["bps"], row["face_bytes"],
            row["cue_bytes"], Kept(row["kept_real"], row["kept_rendered"]),
        )
        for row in table["entries"]
    )  # fmt: skip


def ladder(
    bps: float, codec: str | None = None, table: tuple[Entry, ...] | None = None, kinds: tuple[Kind, ...] = ("pixels",)
) -> list[Entry]:
    """The entries of one codec in `table`, by default the shipped one, by rising budget. Without a `codec` it is the
    one of the `kinds` that keeps most at a budget of `bps`. Raises `UsageError` for an unknown codec, or one that the
    table lacks."""
    entries = operating_table() if table is None else table
    codecs = [codec] if codec is not None else sorted({entry.point.codec for entry in entries if _kind(entry) in kinds})
    ladders = [sorted((e for e in entries if e.point.codec == name), key=lambda e: e.bps) for name in codecs]

    def worth(rungs: list[Entry]) -> float:
        kept = entry_for(rungs, bps).kept
        return kept.real + kept.rendered

    if not any(ladders):
        if codec is None:
            raise UsageError(f"the operating table has no entry for {', '.join(kinds)}")
        codec_named(codec)
        raise UsageError(f"the operating table has no entry for codec {codec}")
    return max((rungs for rungs in ladders if rungs), key=worth)


def lowest_budget(kind: Kind) -> float:
    """The lowest budget in bits per second for which the shipped table has a codec of a kind; infinite if it has
    none."""
    return min((entry.bps for entry in operating_table() if _kind(entry) == kind), default=math.inf)


def _kind(entry: Entry) -> Kind:
    return codec_named(entry.point.codec).kind


def entry_for(rungs: list[Entry], bps: float) -> Entry:
    """The entry of `rungs`, by rising budget, with the largest budget up to `bps`; otherwise the first."""
    return [rungs[0], *(entry for entry in rungs if entry.bps <= bps)][-1]
