"""The key face of the features codec: a coded still with its latents, sent in parts along with packets of latents.

With it the far side can show the face as it moves. A part that is lost makes that key face unusable until the next.
"""

from dataclasses import dataclass

import numpy as np

from lowbeam.codec.compact.range_coding import PacketReader, PacketWriter
from lowbeam.codec.interface import CodedFace, TrackHeader
from lowbeam.codec.standard import StandardDecoder, StandardEncoder
from lowbeam.errors import StreamError
from lowbeam.face import Grey
from lowbeam.scale import resample

KEY_EVERY_S = 60.0
KEY_BYTES = 480  # of a still, as far as the codec can
STILL_CODEC, STILL_SCALE = "av1", 2  # its key frames repeat all that a decoder needs
STILL_QPS = (24, 28, 32, 36, 40, 44, 48, 52, 56, 60)
STILL_FPS = 1.0
NUMBERS = 8  # of key faces, in turn
MAX_KEY = 2**14  # bytes
MAX_PART = 255  # bytes
SIZE_BITS = 6  # of small numbers


@dataclass(frozen=True)
class KeyPart:
    """The bytes from `offset` on of the key face `number`, which has `total` bytes."""

    number: int
    total: int
    offset: int
    data: bytes


class KeySender:
    """Cuts key faces into parts."""

    def __init__(self) -> None:
        self._key, self._done = b"", 0
        self._number = -1
        self._due_s = -np.inf

    def is_pending(self, time_s: float) -> bool:
        """Whether a part is to be sent at `time_s` (seconds)."""
        return self._done < len(self._key) or time_s >= self._due_s

    @property
    def is_first(self) -> bool:
        """Whether no key face was sent completely."""
        return self._number <= 0 and (self._number < 0 or self._done < len(self._key))

    def part(self, time_s: float, face: Grey, latents: bytes, most: int) -> KeyPart:
        """The next part, of at most `most` bytes, of the key face that is being sent; else of `face`, uint8 (d, d),
        with its coded `latents`."""
        if self._done >= len(self._key):
            self._key, self._done = bytes([len(latents)]) + latents + coded_still(face), 0
            self._number += 1
            self._due_s = time_s + KEY_EVERY_S
        return KeyPart(
            self._number % NUMBERS, len(self._key), self._done, self._key[self._done :][: min(most, MAX_PART)]
        )

    def sent(self, part: KeyPart) -> None:
        """The part is sent."""
        self._done = part.offset + len(part.data)


def coded_still(face: Grey) -> bytes:
    """A grey face, uint8 (d, d), as a still of 48×48 pixels of about `KEY_BYTES` at most. Raises `CodecError`."""
    still = resample(face[None], 96 // STILL_SCALE)[0]
    data = b""
    for qp in STILL_QPS:
        encoder = StandardEncoder(STILL_CODEC, STILL_SCALE, qp, STILL_FPS)
        data = b"".join(one.data for one in [*encoder.encode(still, 0), *encoder.flush()])
        if len(data) <= KEY_BYTES:
            break
    return data


def decoded_still(data: bytes) -> Grey:
    """The pixels, uint8 (48, 48), of a coded still. Raises `StreamError`."""
    decoder = StandardDecoder(TrackHeader(STILL_CODEC, STILL_SCALE, 0, b""))
    found = [*decoder.decode(CodedFace(data, 0, True)), *decoder.flush()]
    if not found:
        raise StreamError("a key face cannot be decoded")
    return found[0].pixels


class KeyAssembler:
    """Puts the parts of one person's key faces together."""

    def __init__(self) -> None:
        self._number, self._parts = -1, dict[int, bytes]()

    def add(self, part: KeyPart) -> tuple[bytes, Grey] | None:
        """Take a part; returns the coded latents and the pixels of a key face that is complete. Raises
        `StreamError`."""
        if part.number != self._number:
            self._number, self._parts = part.number, {}
        self._parts[part.offset] = part.data
        if sum(map(len, self._parts.values())) > part.total:  # parts of other key faces, or damaged ones
            self._parts = {part.offset: part.data}
        whole = b"".join(self._parts[offset] for offset in sorted(self._parts))
        if len(whole) != part.total or not whole:
            return None
        size = whole[0]
        return whole[1 : 1 + size], decoded_still(whole[1 + size :])


def write_part(writer: PacketWriter, part: KeyPart) -> None:
    """Write `part`."""
    writer.write_evenly(part.number, NUMBERS)
    for number in (part.total, part.offset, len(part.data)):
        writer.write_large(number, SIZE_BITS)
    for byte in part.data:
        writer.write_evenly(byte, 256)


def read_part(reader: PacketReader) -> KeyPart:
    """Read a part. Raises `StreamError` if it is out of range."""
    number = reader.read_evenly(NUMBERS)
    total, offset, size = (reader.read_large(SIZE_BITS) for _ in range(3))
    if total > MAX_KEY or size > MAX_PART or offset + size > total:
        raise StreamError("a packet is damaged: its part of a key face is out of range")
    return KeyPart(number, total, offset, bytes(reader.read_evenly(256) for _ in range(size)))
