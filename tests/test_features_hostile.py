"""Hostile packets and key faces of the features codec."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbeam.codec.compact import key_face
from lowbeam.codec.compact.feature_networks import GRID, TABLES
from lowbeam.codec.compact.features import (
    HAS_KEY,
    MAX_PEOPLE,
    MAX_QP,
    FeaturesDecoder,
)
from lowbeam.codec.compact.head import TICKS_MS, write_head
from lowbeam.codec.compact.key_face import (
    MAX_KEY,
    MAX_PART,
    KeyAssembler,
    KeyPart,
    coded_still,
    decoded_still,
    read_part,
    write_part,
)
from lowbeam.codec.compact.latents import write_latents
from lowbeam.codec.compact.prior import load_tables
from lowbeam.codec.compact.range_coding import PacketReader, PacketWriter
from lowbeam.errors import LowbeamError, StreamError
from lowbeam.face import Grey
from lowbeam.scale import Faces, resample
from tests.feature_packets import check_samples, decode, head, new_decoder, packet_of, seen, walk


def check_hostile(decoder: FeaturesDecoder, data: bytes) -> None:
    try:
        found = decode(decoder, data, 1000)
    except StreamError:
        return
    check_samples(found)


@pytest.mark.filterwarnings("error")
@given(data=st.binary(max_size=200))
@settings(max_examples=150)
def test_any_bytes_give_samples_in_range_or_our_error(data: bytes) -> None:
    check_hostile(new_decoder(), data)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("data", [b"", b"\0", b"\xff", b"\0" * 60_000, b"\xff" * 60_000, b"\x5a\xc3" * 30_000])
def test_extreme_bytes_give_samples_in_range_or_our_error(data: bytes) -> None:
    check_hostile(new_decoder(), data)


@pytest.mark.filterwarnings("error")
@given(place=st.floats(0, 0.999), bit=st.integers(0, 7), cut=st.booleans())
@settings(max_examples=60)
def test_a_cut_or_changed_packet_gives_samples_in_range_or_our_error(place: float, bit: int, cut: bool) -> None:
    data = bytearray(packet_of(seen(12, 3)))
    at = int(place * len(data))
    data[at] ^= 1 << bit
    check_hostile(new_decoder(), bytes(data[:at] if cut else data))


def packet_with(part: KeyPart, face: int = 0, latents: Sequence[np.ndarray] | None = None, level: int = 8) -> bytes:
    """A packet with any part of a key face."""
    writer = PacketWriter()
    writer.write(1, HAS_KEY)
    write_part(writer, part)
    told = walk(1) if latents is None else latents
    write_head(writer, head(len(told), face))
    tables = load_tables(TABLES)
    writer.write_evenly(level, tables.levels)
    write_latents(writer, tables, level, 200, told)
    return writer.data()


def told_alone(latents: np.ndarray) -> bytes:
    writer = PacketWriter()
    write_latents(writer, load_tables(TABLES), 0, TICKS_MS[0], [latents])
    return writer.data()


def whole_key(face: Grey, seed: int = 0) -> bytes:
    latents = told_alone(walk(1, seed)[0])
    return bytes([len(latents)]) + latents + coded_still(face)


def parts_of(key: bytes, number: int = 0, size: int = 200) -> list[KeyPart]:
    return [KeyPart(number, len(key), at, key[at : at + size]) for at in range(0, len(key), size)]


@pytest.mark.parametrize(
    ("total", "offset", "size"), [(MAX_KEY + 1, 0, 1), (10, 8, 3), (5, 6, 0), (300, 0, MAX_PART + 1), (2**30, 2**29, 9)]
)
def test_parts_of_a_key_face_that_are_out_of_range_are_refused(total: int, offset: int, size: int) -> None:
    writer = PacketWriter()
    write_part(writer, KeyPart(3, total, offset, b"x" * size))
    with pytest.raises(StreamError, match="part of a key face is out of range"):
        read_part(PacketReader(writer.data()))


hostile_parts = st.builds(
    lambda number, total, offset, data: KeyPart(number, max(total, offset + len(data)), offset, data),
    st.integers(0, 1), st.integers(0, 40), st.integers(0, 30), st.binary(max_size=20),
)  # fmt: skip


@pytest.mark.filterwarnings("error")
@given(parts=st.lists(hostile_parts, min_size=1, max_size=12))
@settings(max_examples=40)
def test_hostile_parts_of_key_faces_give_samples_in_range_or_our_error(parts: list[KeyPart]) -> None:
    decoder = new_decoder()
    for part in parts:
        check_hostile(decoder, packet_with(part))
    check_samples(decode(decoder, packet_of(seen(3))))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("key", [b"\0", b"\xff", b"\xff" * 255, b"\5abc", b"\0" + b"\x12\0\x0a\x0a" * 20, b"\3abc"])
def test_a_key_face_of_nonsense_is_our_error(key: bytes) -> None:
    decoder = new_decoder()
    with pytest.raises(StreamError):
        for part in parts_of(key):
            decode(decoder, packet_with(part))
    check_samples(decode(decoder, packet_of(seen(3))))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [32, 96, 128])
def test_a_still_of_another_size_is_shown_in_the_size_of_stills_or_refused(size: int, hr_faces: Faces) -> None:
    scales = {32: 3, 96: 1}
    if size not in scales:
        still = np.zeros((size, size), np.uint8)
        with pytest.raises(LowbeamError):
            decoded_still(_still_of(still, 1))
        return
    data = _still_of(resample(hr_faces[:1], size)[0], scales[size])
    try:
        assert decoded_still(data).shape == (GRID, GRID)
    except StreamError:
        assert size < GRID


def _still_of(face: Grey, scale: int) -> bytes:
    encoder = key_face.StandardEncoder("av1", scale, 40, 1.0)
    return b"".join(one.data for one in [*encoder.encode(face, 0), *encoder.flush()])


def test_the_last_part_twice_changes_nothing(hr_faces: Faces) -> None:
    decoder, parts = new_decoder(), parts_of(whole_key(hr_faces[0]))
    shown = [decode(decoder, packet_with(part))[0].pixels for part in [*parts, parts[-1], parts[0]]]
    assert [one.size > 0 for one in shown] == [False] * (len(parts) - 1) + [True] * 3
    assert np.array_equal(shown[-1], shown[len(parts) - 1])


def test_a_key_face_that_never_ends_takes_no_more_memory_than_the_largest() -> None:
    assembler = KeyAssembler()
    for offset in range(600):
        assembler.add(KeyPart(0, MAX_KEY, offset, b"x" * MAX_PART))
    assert sum(map(len, assembler._parts.values())) <= MAX_KEY


def test_the_people_whose_key_faces_are_kept_are_limited() -> None:
    decoder = new_decoder()
    for face in range(3 * MAX_PEOPLE):
        decode(decoder, packet_with(KeyPart(0, 100, 0, b"x"), face))
        assert len(decoder._assemblers) <= MAX_PEOPLE
        assert len(decoder._keys) <= MAX_PEOPLE


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("spread", [1e3, 1e6])
def test_extreme_latents_are_shown_within_range(spread: float, hr_faces: Faces) -> None:
    decoder = new_decoder()
    for part in parts_of(whole_key(hr_faces[0])):
        decode(decoder, packet_with(part))
    for level in (0, MAX_QP):
        check_samples(decode(decoder, packet_with(KeyPart(1, 9, 0, b""), latents=walk(40, 1, spread), level=level)))
