"""The features codec: a network on the encoder side turns a face into a few latents, which the far side reads.

A packet has latents of several samples at one level of quality. The key face, a coded still that the far side needs to
show the face as it moves, goes in parts along with them; without it nothing can be looked at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lowbeam.codec.compact.feature_networks import TABLES, KeyFace, estimates_differ, latents_of
from lowbeam.codec.compact.head import TICKS_MS, Head, read_head, write_head
from lowbeam.codec.compact.key_face import MAX_PART, KeyAssembler, KeyPart, KeySender, read_part, write_part
from lowbeam.codec.compact.latents import filled_in, read_latents, write_latents
from lowbeam.codec.compact.prior import load_tables
from lowbeam.codec.compact.range_coding import PacketReader, PacketWriter, scaled
from lowbeam.codec.interface import CodedFace, Sample, TrackHeader
from lowbeam.errors import StreamError, shown
from lowbeam.face import NO_PIXELS, Face, FaceEstimate, Grey, Latents

VERSION = b"\x01"
MAX_QP = 15  # the coarsest level
FIRST_KEY_SHARE, KEY_SHARE = 0.7, 0.3  # of a packet, for the first key face and later ones
PART_HEADER, LEAST_PART = 7, 8  # bytes around a part of a key face, and in one at least
THINNER = (2, 5)  # samples of which one is told
MAX_PEOPLE = 64  # whose key faces are kept
HAS_KEY = scaled(np.array([0.8, 0.2]))  # frequencies of packets without and with a part of the key face


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
        self._keys: dict[int, KeySender] | None = {} if has_key_face else None  # by person

    def content(self, face: Face, own: FaceEstimate) -> Seen:
        """The latents of the face."""
        return Seen(face.time_s, latents_of(face.pixels[None])[0], face.pixels)

    def resampled(self, times_s: Sequence[float], contents: Sequence[Seen], at_s: Sequence[float]) -> list[Seen]:
        """The nearest in time."""
        times = np.array(times_s)
        return [contents[int(np.abs(times - one_s).argmin())] for one_s in at_s]

    def packet(self, head: Head, contents: Sequence[Seen], most_bytes: int | None) -> bytes | None:
        """As in `PacketCoder`. Within a size, all samples may be told, or every second or fifth more finely: whichever
        the estimates suffer least from."""
        if most_bytes is None:
            return self._with_key(head, contents, self._level, None)
        room = most_bytes - self._reserved(head.face, contents[0].time_s, most_bytes)
        wanted = np.stack([one.latents for one in contents])
        best: tuple[float, Head, Sequence[Seen], int] | None = None
        for thinner, some in _thinned(head, contents):
            level = self._finest(thinner, some, room)
            if level is None:
                continue
            lost = estimates_differ(wanted, self._received(thinner, some, level, head.tick_ms, len(contents)))
            if best is None or lost < best[0]:
                best = lost, thinner, some, level
        if best is None:
            return self._if_it_fits(head, contents, most_bytes)
        return self._with_key(*best[1:], most_bytes)

    def _finest(self, head: Head, contents: Sequence[Seen], room: int) -> int | None:
        """The finest level of which a packet has `room` bytes at most; None if there is none."""
        low, high = 0, self._tables.levels - 1  # it is at `low` or above
        if len(self._packet(head, contents, high)) > room:
            return None
        while low < high:
            middle = (low + high) // 2
            if len(self._packet(head, contents, middle)) <= room:
                high = middle
            else:
                low = middle + 1
        return high

    def _if_it_fits(self, head: Head, contents: Sequence[Seen], most_bytes: int) -> bytes | None:
        """The smallest packet, without room for a part of a key face."""
        smallest = self.smallest(head, contents)
        return smallest if len(smallest) <= most_bytes else None

    def _received(
        self, head: Head, contents: Sequence[Seen], level: int, tick_ms: int, count: int
    ) -> NDArray[np.float32]:
        """The latents (count, k) that the far side has at every `tick_ms`: on straight lines, the last held."""
        gains = self._tables.gains[level]
        told = np.rint(np.stack([one.latents for one in contents]) * gains) / gains
        at = np.minimum(np.arange(count) * tick_ms / head.tick_ms, len(told) - 1)
        before = np.floor(at).astype(int)
        after, share = np.minimum(before + 1, len(told) - 1), (at - before)[:, None]
        found: NDArray[np.float32] = ((1 - share) * told[before] + share * told[after]).astype(np.float32)
        return found

    def smallest(self, head: Head, contents: Sequence[Seen]) -> bytes:
        """As in `PacketCoder`."""
        *_, (thinnest, some) = _thinned(head, contents)
        return self._packet(thinnest, some, self._tables.levels - 1)

    def _pending(self, face: int, time_s: float) -> KeySender | None:
        """The sender of the key faces of a person, if a part is to be sent."""
        if self._keys is None:
            return None
        if face not in self._keys and len(self._keys) >= MAX_PEOPLE:
            self._keys.clear()  # as the decoder does
        key = self._keys.setdefault(face, KeySender())
        return key if key.is_pending(time_s) else None

    def _reserved(self, face: int, time_s: float, most_bytes: int) -> int:
        """Bytes that are kept for a part of the key face."""
        key = self._pending(face, time_s)
        return 0 if key is None else round(most_bytes * (FIRST_KEY_SHARE if key.is_first else KEY_SHARE))

    def _with_key(self, head: Head, contents: Sequence[Seen], level: int, most_bytes: int | None) -> bytes:
        """The packet with a part of the key face, if one is due and there is room."""
        plain, first = self._packet(head, contents, level), contents[0]
        key = self._pending(head.face, first.time_s)
        if key is None:
            return plain
        room = MAX_PART if most_bytes is None else most_bytes - len(plain) - PART_HEADER
        if room < LEAST_PART:
            return plain
        part = key.part(first.time_s, first.pixels, self._coded_alone(first), room)
        data = self._packet(head, contents, level, part)
        if most_bytes is not None and len(data) > most_bytes:
            return plain
        key.sent(part)
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


def _thinned(head: Head, contents: Sequence[Seen]) -> Iterator[tuple[Head, Sequence[Seen]]]:
    """The samples of a packet, and parts of them at longer regular steps, with the heads."""
    yield head, contents
    for tick_ms in TICKS_MS:
        step = tick_ms // head.tick_ms
        if step in THINNER and tick_ms % head.tick_ms == 0 and len(contents) > 1:
            yield replace(head, tick_ms=tick_ms, count=len(contents[::step])), contents[::step]


class FeaturesDecoder:
    """Decodes packets of latents. Raises `StreamError` if the stream needs other networks, or is of another
    version."""

    def __init__(self, header: TrackHeader) -> None:
        self._tables = load_tables(TABLES)
        self._assemblers: dict[int, KeyAssembler] = {}  # by person
        self._keys: dict[int, KeyFace] = {}
        if not header.config.startswith(VERSION):
            raise StreamError("the features in the stream are of another version")
        if header.config != VERSION + self._tables.name.encode():
            wanted = shown(header.config[1:].decode("ascii", "replace")) or "of another lowbeam"
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
