"""Packets of the features codec for tests: latents that move as those of a face, and key faces."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from lowbeam.codec import CodedFace, Sample
from lowbeam.codec.compact.feature_networks import GRID, TABLES
from lowbeam.codec.compact.features import (
    MAX_QP,
    FeaturesCoder,
    FeaturesDecoder,
    Seen,
)
from lowbeam.codec.compact.head import MAX_SAMPLES, TICKS_MS, Head
from lowbeam.codec.compact.prior import REACH, LatentTables, load_tables
from lowbeam.codec.cues import MAX_FACE_ID
from lowbeam.face import NO_PIXELS, Box, Grey
from lowbeam.scale import FACE_SIDE

K = load_tables(TABLES).count
BOX = Box(10.0, 20.0, 90.0)
NOTHING: Grey = np.zeros((FACE_SIDE, FACE_SIDE), np.uint8)
seeds = st.integers(0, 2**31 - 1)
levels, ticks = st.integers(0, MAX_QP), st.integers(0, len(TICKS_MS) - 1)


def walk(count: int, seed: int = 0, spread: float = 1.0) -> list[np.ndarray]:
    """Latents that move as those of a face: the first anywhere, the others near the one before."""
    rng = np.random.default_rng(seed)
    found = [rng.normal(0, spread, K)]
    for _ in range(count - 1):
        found.append(0.95 * found[-1] + rng.normal(0, 0.2 * spread, K))
    return [one.astype(np.float32) for one in found]


def seen(count: int, seed: int = 0, start_s: float = 0.0, pixels: Grey = NOTHING, step_s: float = 0.2) -> list[Seen]:
    return [Seen(start_s + step_s * number, one, pixels) for number, one in enumerate(walk(count, seed))]


def head(count: int, face: int = 0, tick_ms: int = 200, box: Box | None = BOX) -> Head:
    return Head(face, tick_ms, count, box)


def packet_of(contents: Sequence[Seen], level: int = 8, face: int = 0) -> bytes:
    data = FeaturesCoder(1, level, False).packet(head(len(contents), face), contents, None)
    assert data is not None
    return data


def thinned(contents: Sequence[Seen], step: int, level: int) -> bytes:
    """A packet with every `step`-th sample, which are 200 ms apart."""
    some = contents[::step]
    data = FeaturesCoder(1, level, False).packet(head(len(some), tick_ms=200 * step), some, None)
    assert data is not None
    return data


def new_decoder() -> FeaturesDecoder:
    return FeaturesDecoder(FeaturesCoder(1, 8, False).header)


def decode(decoder: FeaturesDecoder, data: bytes, time_ms: int = 0) -> list[Sample]:
    return decoder.decode(CodedFace(data, time_ms, True))


def level_of(samples: Sequence[Sample]) -> int:
    (level,) = {one.latents.level for one in samples if one.latents is not None}
    return level


def expected_in_whole_numbers(
    tables: LatentTables, level: int, tick: int, before: list[int] | None
) -> tuple[list[int], list[list[int]]]:
    """As `LatentTables.expected`, in Python's integers, latent by latent."""
    bases, frequencies, logistic = [], [], tables.logistic.tolist()
    for latent in range(tables.count):
        position = int(tables.centres[level, latent])
        scale = int(tables.scales[level, len(TICKS_MS) if before is None else tick, latent])
        if before is not None:
            away = before[latent] * 256 - position
            position += (int(tables.correlations[tick, latent]) * away) // 2**15
        base = (position + 128) // 256
        edges = [0]
        for change in range(-REACH, REACH):
            bound = 256 * change + 128 - (position - 256 * base)
            place = (bound * scale) // 2 ** (8 + 12 - 6)
            edges.append(logistic[min(max(place, -1024), 1024) + 1024])
        edges.append(logistic[-1])
        bases.append(base)
        frequencies.append([b - a + 1 for a, b in pairwise(edges)])
    return bases, frequencies


def check_samples(found: Sequence[Sample]) -> None:
    assert 1 <= len(found) <= MAX_SAMPLES * 100  # with those between
    times = [one.time_ms for one in found]
    assert times == sorted(set(times))
    for one in found:
        assert one.latents is not None
        assert one.latents.values.shape == (K,)
        assert np.isfinite(one.latents.values).all()
        assert np.abs(one.latents.values).max() < 1e6
        assert 0 <= one.latents.level <= MAX_QP
        assert one.face is not None
        assert 0 <= one.face < MAX_FACE_ID
        assert one.pixels is NO_PIXELS or (one.pixels.shape == (GRID, GRID) and one.pixels.dtype == np.uint8)
