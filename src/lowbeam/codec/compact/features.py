"""The features codec: a network on the encoder side turns a face into a few latents, which the far side reads.

A packet has latents of several samples at one level of quality. The key face, a coded still that the far side needs to
show the face as it moves, goes in parts along with them; without it nothing can be looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lowbeam.codec.compact.head import TICKS_MS, Head, read_head, write_head
from lowbeam.codec.compact.key_face import MAX_PART, KeyAssembler, KeyPart, KeySender, read_part, write_part
from lowbeam.codec.compact.prior import DEAD, REACH, LatentTables, Steps, load_tables
from lowbeam.codec.compact.range_coding import PacketReader, PacketWriter, scaled
from lowbeam.codec.interface import CodedFace, Sample, TrackHeader
from lowbeam.errors import StreamError, shown
from lowbeam.face import NO_PIXELS, Face, FaceEstimate, Grey, Latents
from lowbeam.onnx_session import WEIGHTS, OnnxSession
from lowbeam.scale import resample_matrix

FOLDER = WEIGHTS / "features"
TABLES = FOLDER / "tables.json"
VERSION = b"\x01"
GRID = 48  # pixels: the side on which the networks work
MAX_QP = 15  # the coarsest level
FIRST_KEY_SHARE, KEY_SHARE = 0.7, 0.3  # of a packet, for the first key face and later ones
PART_HEADER, LEAST_PART = 7, 8  # bytes around a part of a key face, and in one at least
FILLED_MS = 100  # between the samples that a reader gives
CONTRAST_FLOOR = 8.0  # grey levels, as in `lowbeam.models.normalised`
MAX_PEOPLE = 64  # whose key faces are kept
HAS_KEY = scaled(np.array([0.8, 0.2]))  # frequencies of packets without and with a part of the key face


@cache
def _encoder() -> OnnxSession:
    return OnnxSession(FOLDER / "encoder.onnx", None)


@cache
def _animator() -> OnnxSession:
    return OnnxSession(FOLDER / "animator.onnx", None)


@dataclass(frozen=True, eq=False)
class Seen:
    """What is to be told of a face: its time in seconds, its `latents`, float32 (k,), and its pixels."""

    time_s: float
    latents: NDArray[np.float32]
    pixels: Grey


class FeaturesCoder:
    """Codes packets of latents of faces at `scale`, at the level `qp` or the finest that the size allowed takes. With
    `has_key_face` a key face goes along in parts."""

    def __init__(self, scale: int, qp: int, has_key_face: bool) -> None:
        self._tables, self._level = load_tables(TABLES), qp
        self.header = TrackHeader("features", scale, 0, VERSION + self._tables.name.encode())
        self._key = KeySender() if has_key_face else None

    def content(self, face: Face, own: FaceEstimate) -> Seen:
        """The latents of the face."""
        return Seen(face.time_s, latents_of(face.pixels[None])[0], face.pixels)

    def resampled(self, times_s: Sequence[float], contents: Sequence[Seen], at_s: Sequence[float]) -> list[Seen]:
        """The nearest in time."""
        times = np.array(times_s)
        return [contents[int(np.abs(times - one_s).argmin())] for one_s in at_s]

    def packet(self, head: Head, contents: Sequence[Seen], most_bytes: int | None) -> bytes | None:
        """As in `PacketCoder`."""
        if most_bytes is None:
            return self._with_key(head, contents, self._level, None)
        reserved = self._reserved(contents[0].time_s, most_bytes)
        low, high = 0, self._tables.levels - 1  # the finest level that fits is at `low` or above
        if len(self._packet(head, contents, high)) > most_bytes:
            return None
        while low < high:
            middle = (low + high) // 2
            if len(self._packet(head, contents, middle)) <= most_bytes - reserved:
                high = middle
            else:
                low = middle + 1
        return self._with_key(head, contents, high, most_bytes)

    def smallest(self, head: Head, contents: Sequence[Seen]) -> bytes:
        """As in `PacketCoder`."""
        return self._packet(head, contents, self._tables.levels - 1)

    def _reserved(self, time_s: float, most_bytes: int) -> int:
        """Bytes that are kept for a part of the key face."""
        if self._key is None or not self._key.is_pending(time_s):
            return 0
        return round(most_bytes * (FIRST_KEY_SHARE if self._key.is_first else KEY_SHARE))

    def _with_key(self, head: Head, contents: Sequence[Seen], level: int, most_bytes: int | None) -> bytes:
        """The packet with a part of the key face, if one is due and there is room."""
        plain, first = self._packet(head, contents, level), contents[0]
        if self._key is None or not self._key.is_pending(first.time_s):
            return plain
        room = MAX_PART if most_bytes is None else most_bytes - len(plain) - PART_HEADER
        if room < LEAST_PART:
            return plain
        part = self._key.part(first.time_s, first.pixels, self._coded_alone(first), room)
        data = self._packet(head, contents, level, part)
        if most_bytes is not None and len(data) > most_bytes:
            return plain
        self._key.sent(part)
        return data

    def _coded_alone(self, one: Seen) -> bytes:
        """The latents of the key face, at the finest level."""
        writer = PacketWriter()
        write_latents(writer, self._tables, 0, TICKS_MS[0], [one.latents])
        return writer.data()

    def _packet(self, head: Head, contents: Sequence[Seen], level: int, part: KeyPart | None = None) -> bytes:
        writer = PacketWriter()
        writer.write(int(part is not None), HAS_KEY)
        if part is not None:
            write_part(writer, part)
        write_head(writer, head)
        writer.write_evenly(level, self._tables.levels)
        write_latents(writer, self._tables, level, head.tick_ms, [one.latents for one in contents])
        return writer.data()


def latents_of(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Latents, float32 (n, k), of grey faces, uint8 (n, d, d) with d from 6 to 96."""
    given = {"faces": faces, "resample": resample_matrix(faces.shape[1], GRID)}
    found: NDArray[np.float32] = _encoder().run(["latents"], given)[0]
    return found


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
    if tick_ms % parts or len(latents) < 2:
        return [*latents], tick_ms
    found = [
        Latents(((parts - part) * one.values + part * other.values) / np.float32(parts), one.level)
        for one, other in pairwise(latents)
        for part in range(parts)
    ]
    return [*found, latents[-1]], tick_ms // parts


@dataclass(frozen=True, eq=False)
class KeyFace:
    """A key face: its pixels, uint8 (48, 48), and its latents."""

    pixels: Grey
    latents: Latents

    def shown(self, latents: Sequence[Latents]) -> list[Grey]:
        """The face with other `latents`, each uint8 (48, 48)."""
        grey = self.pixels.astype(np.float32)
        mean, contrast = grey.mean(), grey.std() + CONTRAST_FLOOR
        count = len(latents)
        given = {
            "key": np.repeat(((grey - mean) / contrast)[None, None], count, 0),
            "key_latents": np.repeat(self.latents.values[None], count, 0),
            "latents": np.stack([one.values for one in latents]),
        }
        found = _animator().run(["shown"], given)[0][:, 0]
        return [*np.rint(found * contrast + mean).clip(0, 255).astype(np.uint8)]


class FeaturesDecoder:
    """Decodes packets of latents. Raises `StreamError` if the stream needs other networks."""

    def __init__(self, header: TrackHeader) -> None:
        self._tables = load_tables(TABLES)
        self._assemblers: dict[int, KeyAssembler] = {}  # by person
        self._keys: dict[int, KeyFace] = {}
        if header.config != VERSION + self._tables.name.encode():
            wanted = shown(header.config[1:].decode("ascii", "replace"))
            raise StreamError(
                f"the features in the stream need the networks {wanted}; this lowbeam has {self._tables.name}"
            )

    def decode(self, coded: CodedFace) -> list[Sample]:
        """The samples of a packet, and between them others on straight lines, with pixels once a key face is complete.
        Raises `StreamError` if it is damaged."""
        reader = PacketReader(coded.data)
        part = read_part(reader) if reader.read(HAS_KEY) else None
        head = read_head(reader)
        level = reader.read_evenly(self._tables.levels)
        told = read_latents(reader, self._tables, level, head.tick_ms, head.count)
        latents, tick_ms = filled_in(told, head.tick_ms)
        if part is not None:
            self._take_part(head.face, part)
        pixels = self._shown(head.face, latents)
        return [
            Sample(coded.time_ms + number * tick_ms, one_shown, head.face, head.box, one)
            for number, (one, one_shown) in enumerate(zip(latents, pixels, strict=True))
        ]

    def _take_part(self, face: int, part: KeyPart) -> None:
        if face not in self._assemblers and len(self._assemblers) >= MAX_PEOPLE:
            self._assemblers.clear()
            self._keys.clear()
        complete = self._assemblers.setdefault(face, KeyAssembler()).add(part)
        if complete is not None:
            data, still = complete
            (latents,) = read_latents(PacketReader(data), self._tables, 0, TICKS_MS[0], 1)
            self._keys[face] = KeyFace(still, latents)

    def _shown(self, face: int, latents: Sequence[Latents]) -> Sequence[Grey]:
        key = self._keys.get(face)
        return [NO_PIXELS] * len(latents) if key is None else key.shown(latents)

    def flush(self) -> list[Sample]:
        """Nothing: a packet is decoded at once."""
        return []

    def change_scale(self, time_ms: int, scale: int) -> None:
        """Nothing changes: latents have no size."""
