"""The body of an estimates packet: valence and arousal as polylines, and their deviations.

A step of the quantizer is a share of the estimate's own standard deviation: an error that is small beside it is not
worth bits. `quality` is the multiplier of the trellis search, the price of a bit in squared deviations.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lowbeam.codec.compact.polyline import Corners, Floats, Polyline, fitted, read_polyline, write_polyline
from lowbeam.codec.compact.range_coding import PacketReader, PacketWriter
from lowbeam.face import FaceEstimate

STRIDES = (1, 2, 4, 8)  # samples between the corners of a polyline
STEPS = tuple(2 ** -(1 + index / 2) for index in range(12))  # of valence and arousal
STDS = tuple(2 ** (-6 + 0.4 * index) for index in range(16))  # standard deviations
PRICE = 0.5  # of a bit, in squared steps, at which a step is best


@dataclass(frozen=True)
class Body:
    """The polylines of valence and arousal with their `corners`, which differ in their reach; indices in `STRIDES`,
    `STEPS` and `STDS`. `bits` are about those of the body, `error` is the squared error of all samples in squared
    deviations."""

    stride: int
    steps: tuple[int, int]
    stds: tuple[int, int]
    corners: tuple[Corners, Corners]
    lines: tuple[Polyline, Polyline]
    error: float

    @property
    def bits(self) -> float:
        """About the bits of the body."""
        return sum(line.bits + math.log2(len(STEPS) * len(STDS)) for line in self.lines) + math.log2(len(STRIDES))


def fitted_body(samples: Sequence[FaceEstimate], price: float) -> Body:
    """The body for `samples` that is best where a bit costs `price` squared standard deviations."""
    return min(
        (_with_stride(samples, price, stride) for stride in range(len(STRIDES)) if _is_useful(stride, len(samples))),
        key=lambda body: body.error + price * body.bits,
    )


def _is_useful(stride: int, count: int) -> bool:
    return stride == 0 or STRIDES[stride] < 2 * count


def _with_stride(samples: Sequence[FaceEstimate], price: float, stride: int) -> Body:
    signals = np.array([one[:2] for one in samples]).T
    deviations = np.sqrt(np.square([one[2:] for one in samples]).mean(0))
    error, parts = 0.0, []
    for signal, mean_deviation in zip(signals, deviations, strict=True):
        deviation = max(float(mean_deviation), STDS[0])
        step = _nearest(STEPS, deviation * math.sqrt(price / PRICE))
        corners = corners_of(len(samples), stride, step)
        line = fitted(signal / STEPS[step], corners, price * (deviation / STEPS[step]) ** 2)
        squared = line.error * STEPS[step] ** 2
        std = _nearest(STDS, math.sqrt(deviation**2 + squared / len(samples)))
        error += squared / deviation**2
        parts.append((step, std, corners, line))
    steps, stds, all_corners, lines = zip(*parts, strict=True)
    return Body(stride, steps, stds, all_corners, lines, error)


def _nearest(table: Sequence[float], value: float) -> int:
    """The index of the value of `table` that is nearest by ratio."""
    return min(range(len(table)), key=lambda index: abs(math.log(table[index] / value)))


def corners_of(count: int, stride: int, step: int) -> Corners:
    """The corners of a polyline over `count` samples, at indices of `STRIDES` and `STEPS`."""
    return Corners(count, STRIDES[stride], math.ceil(1 / STEPS[step]))


def write_body(writer: PacketWriter, body: Body) -> None:
    """Write `body`."""
    writer.write_evenly(body.stride, len(STRIDES))
    for step, std, corners, line in zip(body.steps, body.stds, body.corners, body.lines, strict=True):
        writer.write_evenly(step, len(STEPS))
        writer.write_evenly(std, len(STDS))
        write_polyline(writer, line, corners)


def read_body(reader: PacketReader, count: int) -> list[FaceEstimate]:
    """The estimates of `count` samples. Valence and arousal are within [-1, 1], also if the packet is damaged."""
    stride = reader.read_evenly(len(STRIDES))
    drawn: list[Floats] = []
    stds = []
    for _ in range(2):
        step, std = reader.read_evenly(len(STEPS)), reader.read_evenly(len(STDS))
        corners = corners_of(count, stride, step)
        drawn.append((corners.drawn(read_polyline(reader, corners)) * STEPS[step]).clip(-1, 1))
        stds.append(STDS[std])
    return [FaceEstimate(valence, arousal, *stds) for valence, arousal in np.stack(drawn, 1).tolist()]
