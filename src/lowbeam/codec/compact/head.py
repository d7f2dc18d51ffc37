"""What every packet of a compact codec begins with: who is seen where, and when."""

import math
from dataclasses import dataclass

from lowbeam.codec.compact.range_coding import PacketReader, PacketWriter
from lowbeam.codec.cues import MAX_FACE_ID, MAX_PLACE
from lowbeam.errors import StreamError
from lowbeam.face import Box

TICKS_MS = (40, 100, 200, 500, 1000, 2000, 5000, 10000)  # between the samples of a packet
MAX_SAMPLES = 256  # of a packet
BOX_TOLERANCE = 0.125  # of the box's side: a smaller move is not told
PLACES = 16  # steps of a box's place in a side
SIDES_PER_OCTAVE = 8
OCTAVES = 16
ID_BITS, PLACE_BITS = 1, 4  # of small numbers


@dataclass(frozen=True)
class Head:
    """The packet has `count` samples of the person `face`, one every `tick_ms` from the packet's own time on. `box` is
    where the face is, None where it has not moved."""

    face: int
    tick_ms: int
    count: int
    box: Box | None


def tick_for(step_s: float) -> int:
    """The largest of `TICKS_MS` that is not much longer than `step_s`, seconds between the sender's samples."""
    return max([TICKS_MS[0], *(tick for tick in TICKS_MS if tick <= 1251 * step_s)])


def write_head(writer: PacketWriter, head: Head) -> None:
    """Write `head`."""
    writer.write_large(head.face, ID_BITS)
    writer.write_evenly(TICKS_MS.index(head.tick_ms), len(TICKS_MS))
    writer.write_evenly(head.count - 1, MAX_SAMPLES)
    writer.write_evenly(head.box is not None, 2)
    if head.box is not None:
        place = quantized_box(head.box)
        writer.write_evenly(place[0], OCTAVES * SIDES_PER_OCTAVE)
        for number in place[1:]:
            writer.write_evenly(number < 0, 2)
            writer.write_large(abs(number), PLACE_BITS)


def read_head(reader: PacketReader) -> Head:
    """Read a head. Raises `StreamError` if it is out of range."""
    face = reader.read_large(ID_BITS)
    tick_ms, count = TICKS_MS[reader.read_evenly(len(TICKS_MS))], reader.read_evenly(MAX_SAMPLES) + 1
    box = None
    if reader.read_evenly(2):
        size = reader.read_evenly(OCTAVES * SIDES_PER_OCTAVE)
        numbers = []
        for _ in range(2):
            sign = -1 if reader.read_evenly(2) else 1
            numbers.append(sign * reader.read_large(PLACE_BITS))
        box = box_of(size, numbers[0], numbers[1])
    if face >= MAX_FACE_ID or (box is not None and math.hypot(*box.centre) > MAX_PLACE):
        raise StreamError("a packet is damaged: its face is out of range")
    return Head(face, tick_ms, count, box)


def quantized_box(box: Box) -> tuple[int, int, int]:
    """The number of a box's side, and those of its centre, in `PLACES` of the side."""
    size = min(max(round(SIDES_PER_OCTAVE * math.log2(max(box.side, 1.0))), 0), OCTAVES * SIDES_PER_OCTAVE - 1)
    step = _side(size) / PLACES
    return size, round(box.centre[0] / step), round(box.centre[1] / step)


def box_of(size: int, x: int, y: int) -> Box:
    """The box of the numbers of `quantized_box`."""
    side = _side(size)
    return Box.around(x * side / PLACES, y * side / PLACES, side)


def _side(size: int) -> float:
    return float(2.0 ** (size / SIDES_PER_OCTAVE))


def has_moved(sent: Box, now: Box) -> bool:
    """Whether a box differs from the one that was sent last by more than `BOX_TOLERANCE`."""
    shift = max(abs(a - b) for a, b in zip(sent.centre, now.centre, strict=True))
    return max(shift, abs(sent.side - now.side)) > BOX_TOLERANCE * sent.side
