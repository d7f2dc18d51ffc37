"""A signal over time as a polyline with quantized corners, chosen for rate and distortion together.

Corners lie at regular times. Their values are whole steps, each told as the difference to the one before by a range
coder; after no change the next change is unlikely. Of all polylines near the signal, a search through the trellis of
corner values finds the one with the least squared error plus a multiplier times its bits (trellis quantization, as in
video encoders; Viterbi 1967). So a calm signal costs next to nothing, and a lively one is simplified as the bits
demand.
"""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lowbeam.codec.compact.range_coding import Frequencies, PacketReader, PacketWriter, cost_bits, scaled

SEARCHED = 2  # steps around the signal in which corners are searched
CONTEXTS = 3  # of a change: after no change, after a change by one step, after a larger one
# Kinds of signals, from calm to lively: the probability of no change in each context, and how much less likely a
# change is than one that is a step smaller. A packet names its kind.
KINDS = (
    ((0.97, 0.80, 0.60), 0.35),
    ((0.90, 0.65, 0.50), 0.45),
    ((0.75, 0.50, 0.40), 0.55),
    ((0.50, 0.35, 0.30), 0.65),
)

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]


@cache
def change_frequencies(kind: int, context: int, reach: int) -> Frequencies:
    """Frequencies of the changes from -`reach` to `reach` steps."""
    same, ratio = KINDS[kind][0][context], KINDS[kind][1]
    falling = [1.0]
    for _ in range(reach - 1):
        falling.append(falling[-1] * ratio)
    side = np.array(falling) * ((1 - same) / 2 / sum(falling))
    return scaled(np.concatenate([side[::-1], [same], side]))


@cache
def _costs(reach: int) -> Floats:
    """Bits of each change (kinds, contexts, 2 * reach + 1)."""
    return np.array(
        [[cost_bits(change_frequencies(kind, one, reach)) for one in range(CONTEXTS)] for kind in range(len(KINDS))]
    )


@dataclass(frozen=True)
class Corners:
    """The corners of a polyline over `count` samples: every `stride`-th sample and the last. Values are whole steps
    from -`reach` to `reach`."""

    count: int
    stride: int
    reach: int

    @property
    def places(self) -> Steps:
        """Indices of the samples at the corners, int64 (c,)."""
        regular = np.arange(0, self.count, self.stride)
        return regular if regular[-1] == self.count - 1 else np.append(regular, self.count - 1)

    def drawn(self, values: Steps) -> Floats:
        """The polyline with corners `values` (c,) at all samples (count,), in steps."""
        return np.asarray(np.interp(np.arange(self.count), self.places, values), np.float64)


@dataclass(frozen=True)
class Polyline:
    """Corner `values` (c,) in steps, told as of `kind`; about `bits` bits, and the squared `error` in steps."""

    values: Steps
    kind: int
    bits: float
    error: float


def fitted(signal: Floats, corners: Corners, multiplier: float) -> Polyline:
    """The polyline for `signal` (count,), in steps, with the least squared error plus `multiplier` times its bits."""
    near = np.rint(signal[corners.places]).astype(np.int64)[:, None] + np.arange(-SEARCHED, SEARCHED + 1)
    near = near.clip(-corners.reach, corners.reach)  # (c, 5)
    errors, costs = _errors(signal, corners, near), _costs(2 * corners.reach)
    first_bits = np.log2(2 * corners.reach + 1)
    total = np.full((len(KINDS), near.shape[1], CONTEXTS), np.inf)  # of the best way to each corner value and context
    total[:, :, 0] = (signal[0] - near[0]) ** 2 + multiplier * first_bits
    ways = []
    for place in range(1, len(near)):
        change = near[place][None, :] - near[place - 1][:, None]  # (before, now)
        steps = total[:, :, None, :] + errors[place - 1][None, :, :, None]
        steps = steps + multiplier * costs[:, :, change + 2 * corners.reach].transpose(0, 2, 3, 1)
        came = steps.argmin(3)  # (kind, before, now): the best context
        best = np.take_along_axis(steps, came[..., None], 3)[..., 0]
        context = np.minimum(np.abs(change), CONTEXTS - 1)
        way = np.empty((*total.shape, 2), np.int64)
        for after in range(CONTEXTS):
            allowed = np.where(context == after, best, np.inf)
            before = allowed.argmin(1)  # (kind, now)
            total[:, :, after] = np.take_along_axis(allowed, before[:, None], 1)[:, 0]
            way[:, :, after, 0] = before
            way[:, :, after, 1] = np.take_along_axis(came, before[:, None], 1)[:, 0]
        ways.append(way)
    kind, now, after = map(int, np.unravel_index(int(total.argmin()), total.shape))
    values = [near[-1][now]]
    for place in range(len(ways), 0, -1):
        now, after = map(int, ways[place - 1][kind, now, after])
        values.append(near[place - 1][now])
    found = np.array(values[::-1])
    bits = float(first_bits + _bits_of_changes(found, int(kind), corners.reach))
    return Polyline(found, int(kind), bits, float(((corners.drawn(found) - signal) ** 2).sum()))


def _errors(signal: Floats, corners: Corners, near: Steps) -> Floats:
    """Squared error of the samples after each corner up to the next, for each pair of their values:
    (c - 1, before, now)."""
    places = corners.places
    samples = np.arange(1, corners.count)
    part = np.searchsorted(places, samples) - 1  # the corner before
    share = (samples - places[part]) / np.diff(places)[part]

    def sums(weights: Floats) -> Floats:
        return np.asarray(np.bincount(part, weights, minlength=len(places) - 1)[:, None, None], np.float64)

    x, now, before = signal[1:], near[1:, None, :].astype(float), near[:-1, :, None].astype(float)
    rest = 1 - share
    squared = sums(x * x) - 2 * before * sums(rest * x) - 2 * now * sums(share * x)
    squared += before**2 * sums(rest * rest) + 2 * before * now * sums(rest * share) + now**2 * sums(share * share)
    return np.asarray(squared)


def _contexts(values: Steps) -> list[int]:
    """The context of each change between `values`."""
    return [0, *np.minimum(np.abs(np.diff(values)), CONTEXTS - 1).tolist()][: max(len(values) - 1, 0)]


def _bits_of_changes(values: Steps, kind: int, reach: int) -> float:
    return float(_costs(2 * reach)[kind][_contexts(values), np.diff(values) + 2 * reach].sum())


def write_polyline(writer: PacketWriter, line: Polyline, corners: Corners) -> None:
    """Write the kind and the corner values."""
    reach, values = corners.reach, line.values.tolist()
    writer.write_evenly(line.kind, len(KINDS))
    writer.write_evenly(values[0] + reach, 2 * reach + 1)
    for context, (before, now) in zip(_contexts(line.values), pairwise(values), strict=True):
        writer.write(now - before + 2 * reach, change_frequencies(line.kind, context, 2 * reach))


def read_polyline(reader: PacketReader, corners: Corners) -> Steps:
    """The corner values (c,), each within the reach, also if the packet is damaged."""
    reach = corners.reach
    kind = reader.read_evenly(len(KINDS))
    values, context = [reader.read_evenly(2 * reach + 1) - reach], 0
    for _ in corners.places[1:]:
        change = reader.read(change_frequencies(kind, context, 2 * reach)) - 2 * reach
        values.append(min(max(values[-1] + change, -reach), reach))
        context = min(abs(change), CONTEXTS - 1)
    return np.array(values)
