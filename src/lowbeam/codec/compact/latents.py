"""Latents of successive samples as numbers of a packet."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lowbeam.codec.compact.head import TICKS_MS
from lowbeam.codec.compact.prior import DEAD, REACH, LatentTables, Steps
from lowbeam.codec.compact.range_coding import PacketReader, PacketWriter
from lowbeam.face import Latents

FILLED_MS, MOST_PARTS = 100, 5  # between the samples that a reader gives, and parts of a step at most


def write_latents(
    writer: PacketWriter, tables: LatentTables, level: int, tick_ms: int, latents: Sequence[NDArray[np.float32]]
) -> None:
    """Write the latents (k,) of successive samples."""
    before: Steps | None = None
    for one in latents:
        base, frequencies = tables.expected(level, TICKS_MS.index(tick_ms), before)
        wanted = one * tables.gains[level]
        steps = np.where(np.abs(wanted - base) < DEAD, base, np.rint(wanted).astype(np.int64))
        before = steps.clip(base - REACH, base + REACH)
        for change, each in zip((before - base).tolist(), frequencies, strict=True):
            writer.write(change + REACH, each)


def read_latents(reader: PacketReader, tables: LatentTables, level: int, tick_ms: int, count: int) -> list[Latents]:
    """The latents of `count` samples, in bounds also if the packet is damaged."""
    found: list[Latents] = []
    before: Steps | None = None
    for _ in range(count):
        base, frequencies = tables.expected(level, TICKS_MS.index(tick_ms), before)
        before = base + np.array([reader.read(each) - REACH for each in frequencies])
        found.append(Latents((before / tables.gains[level]).astype(np.float32), level))
    return found


def filled_in(latents: Sequence[Latents], tick_ms: int) -> tuple[list[Latents], int]:
    """Latents with others between each two, on a straight line, `FILLED_MS` apart at most; and the milliseconds between
    them. The samples of a packet come together, so that this takes no time."""
    parts = -(-tick_ms // FILLED_MS)
    if tick_ms % parts or parts > MOST_PARTS or len(latents) < 2:
        return [*latents], tick_ms
    found = [
        Latents(((parts - part) * one.values + part * other.values) / np.float32(parts), one.level)
        for one, other in pairwise(latents)
        for part in range(parts)
    ]
    return [*found, latents[-1]], tick_ms // parts
