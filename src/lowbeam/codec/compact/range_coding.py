"""Range coding of whole numbers to as few bytes as possible, by ``constriction``.

A number is coded with the frequencies of all its possible values, which are integers that add up to `TOTAL`: nothing
depends on floating point. The coder writes words of four bytes; of a packet of a dozen bytes that would be a waste, so
the last word is cut to the shortest bytes that decode to the same numbers.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

from lowbeam.errors import StreamError

TOTAL = 1 << 16  # of the frequencies of one number
WORD = 4  # bytes

LENGTH_RATIO, MAX_LENGTH = 0.6, 32  # of the number of bits of a large number: how much less likely one bit more is

Frequencies = NDArray[np.int64]  # (values,), each at least 1

_queue, _model = constriction.stream.queue, constriction.stream.model


def scaled(weights: NDArray[np.float64]) -> Frequencies:
    """Frequencies in proportion to `weights` (values,), which are not negative. Only sums, products and quotients are
    used, so that the result is the same on every machine."""
    spare = TOTAL - len(weights)
    found = 1 + np.floor(weights * (spare / math.fsum(weights))).astype(np.int64)
    found[int(found.argmax())] += TOTAL - found.sum()
    return found


LENGTHS = scaled(np.cumprod(np.full(MAX_LENGTH, LENGTH_RATIO)))


def cost_bits(frequencies: Frequencies) -> NDArray[np.float64]:
    """Bits that each value costs."""
    return np.asarray(np.log2(TOTAL) - np.log2(frequencies))


class PacketWriter:
    """Collects the numbers of a packet; `data` are its bytes."""

    def __init__(self) -> None:
        self._numbers: list[tuple[int, Any]] = []

    def write(self, value: int, frequencies: Frequencies) -> None:
        """Write `value`, an index of `frequencies`."""
        self._numbers.append((value, _categorical(frequencies)))

    def write_evenly(self, value: int, count: int) -> None:
        """Write one of `count` values that are equally likely."""
        self._numbers.append((value, _even(count)))

    def write_large(self, value: int, low_bits: int) -> None:
        """Write a whole number of any size, of which small ones are likely (Elias's gamma code with `low_bits` bits
        more)."""
        length = ((value >> low_bits) + 1).bit_length()
        self.write(length - 1, LENGTHS)
        for bit in reversed(range(length - 1 + low_bits)):
            self.write_evenly((value + (1 << low_bits)) >> bit & 1, 2)

    def data(self) -> bytes:
        """The shortest bytes that decode to the numbers."""
        encoder = _queue.RangeEncoder()
        for value, model in self._numbers:
            encoder.encode(value, model)
        whole: bytes = encoder.get_compressed().astype(">u4").tobytes()
        for size in range(max(0, len(whole) - 2 * WORD), len(whole)):
            for data in _shortened(whole, size):
                if self._decodes(data):
                    return data
        return whole

    def _decodes(self, data: bytes) -> bool:
        decoder = _decoder(data)
        try:
            return all(decoder.decode(model) == value for value, model in self._numbers)
        except AssertionError:
            return False


class PacketReader:
    """Reads the numbers of a packet in the order in which they were written. Bytes that no writer wrote give numbers,
    too, or raise `StreamError`."""

    def __init__(self, data: bytes) -> None:
        self._decoder = _decoder(data)

    def read(self, frequencies: Frequencies) -> int:
        """The next value, an index of `frequencies`."""
        return self._read(_categorical(frequencies))

    def read_evenly(self, count: int) -> int:
        """One of `count` values that are equally likely."""
        return self._read(_even(count))

    def read_large(self, low_bits: int) -> int:
        """A number that `PacketWriter.write_large` wrote."""
        value = 1
        for _ in range(self.read(LENGTHS) + low_bits):
            value = 2 * value + self.read_evenly(2)
        return value - (1 << low_bits)

    def _read(self, model: Any) -> int:
        try:
            return int(self._decoder.decode(model))
        except AssertionError as error:
            raise StreamError("a packet is damaged") from error


def _decoder(data: bytes) -> Any:
    padded = data + bytes(-len(data) % WORD)
    return _queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))


def _shortened(whole: bytes, size: int) -> Iterator[bytes]:
    """Bytes of `size` that may lie in the same interval as `whole`: its first, and the next larger number."""
    first = whole[:size]
    yield first
    above = int.from_bytes(first) + 1
    if size and above < 1 << 8 * size:
        yield above.to_bytes(size)


def _categorical(frequencies: Frequencies) -> Any:
    return _model.Categorical(frequencies / TOTAL, perfect=False)


@lru_cache(maxsize=256)
def _even(count: int) -> Any:
    return _model.Uniform(count) if count > 1 else _model.Categorical(np.array([1 - 2**-16, 2**-16]), perfect=False)
