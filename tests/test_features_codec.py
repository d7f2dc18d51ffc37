"""The features codec: its prior in whole numbers, its packets, key faces, hostile bytes, and how latents are read."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lowbeam
from lowbeam.cli import app as cli
from lowbeam.codec import CodedFace, OperatingPoint, Sample, TrackHeader, open_decoder
from lowbeam.codec.compact import key_face
from lowbeam.codec.compact.feature_networks import GRID, TABLES, latents_of
from lowbeam.codec.compact.features import (
    HAS_KEY,
    MAX_PEOPLE,
    MAX_QP,
    VERSION,
    FeaturesCoder,
    FeaturesDecoder,
    Seen,
)
from lowbeam.codec.compact.head import MAX_SAMPLES, TICKS_MS, Head, write_head
from lowbeam.codec.compact.key_face import (
    KEY_BYTES,
    KEY_EVERY_S,
    MAX_KEY,
    MAX_PART,
    NUMBERS,
    KeyAssembler,
    KeyPart,
    coded_still,
    decoded_still,
    read_part,
    write_part,
)
from lowbeam.codec.compact.latents import read_latents, write_latents
from lowbeam.codec.compact.policy import CompactFixed
from lowbeam.codec.compact.prior import DEAD, REACH, LatentTables, as_json, load_tables, logistic_table
from lowbeam.codec.compact.range_coding import TOTAL, PacketReader, PacketWriter
from lowbeam.codec.cues import MAX_FACE_ID
from lowbeam.codec.layers import Layers
from lowbeam.container import FaceStreamReader, count_bytes
from lowbeam.errors import LowbeamError, ModelError, StreamError, UsageError
from lowbeam.estimator import Estimator
from lowbeam.face import NO_PIXELS, Box, Face, FaceEstimate, Grey, Latents
from lowbeam.faces import FrameFaces
from lowbeam.latent_reader import LatentReader
from lowbeam.pipeline.estimate import estimates_of
from lowbeam.recognize import MAX_BATCH, Estimates, Memory
from lowbeam.scale import FACE_SIDE, MIN_SIDE, Faces, resample

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


# --- the prior


@st.composite
def some_tables(draw: st.DrawFn) -> LatentTables:
    """Tables with any values that an export can write."""
    rng, count = np.random.default_rng(draw(seeds)), len(TICKS_MS)
    scales = 1 / rng.uniform(0.12, draw(st.sampled_from([0.2, 3.0, 40.0])), (3, count + 1, K))
    return LatentTables(
        "any", rng.uniform(0.1, 9, (3, K)).astype(np.float32), rng.integers(-20_000, 20_000, (3, K)),
        rng.integers(0, 1 << 15, (count, K)), np.rint(scales * (1 << 12)).astype(np.int64), logistic_table(),
    )  # fmt: skip


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


@given(tables=some_tables() | st.just(load_tables(TABLES)), level=st.integers(0, 2), tick=ticks, seed=seeds,
       reach=st.sampled_from([1, 60, 10_000]), is_first=st.booleans())  # fmt: skip
@settings(max_examples=40)
def test_the_prior_is_the_same_in_pythons_integers(
    tables: LatentTables, level: int, tick: int, seed: int, reach: int, is_first: bool
) -> None:
    before = None if is_first else np.random.default_rng(seed).integers(-reach, reach + 1, K)
    base, frequencies = tables.expected(level, tick, before)
    wanted = expected_in_whole_numbers(tables, level, tick, None if before is None else before.tolist())
    assert base.tolist() == wanted[0]
    assert frequencies.tolist() == wanted[1]
    assert np.all(frequencies >= 1)
    assert np.all(frequencies.sum(1) == TOTAL)


def test_the_tables_that_ship_are_sound() -> None:
    tables, count = load_tables(TABLES), len(TICKS_MS)
    assert tables.levels == MAX_QP + 1
    assert tables.gains.shape == tables.centres.shape == (tables.levels, K)
    assert (tables.correlations.shape, tables.scales.shape) == ((count, K), (tables.levels, count + 1, K))
    assert tables.gains.min() > 0
    assert tables.scales.min() > 0
    assert 0 <= tables.correlations.min() <= tables.correlations.max() <= 1 << 15
    assert np.all(np.diff(tables.correlations, axis=0) <= 0)  # the longer ago, the less it tells
    assert np.all(np.diff(tables.gains.mean(1)[::5]) < 0)  # from fine to coarse, on the whole
    assert tables.logistic.tolist() == logistic_table().tolist()
    assert tables.name.isascii()
    assert tables.name.isprintable()
    assert len(tables.name) < 40


def test_tables_are_kept_in_a_file(tmp_path: Path) -> None:
    tables = load_tables(TABLES)
    (tmp_path / "t.json").write_text(as_json(tables))
    found = load_tables(tmp_path / "t.json")
    assert found.name == tables.name
    for name in ("gains", "centres", "correlations", "scales", "logistic"):
        assert np.array_equal(getattr(found, name), getattr(tables, name))
        assert getattr(found, name).dtype == getattr(tables, name).dtype


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"name": "x", "gains": "y"}', '{"name": "x", "gains": [1]}'])
def test_a_file_without_tables_is_one_clear_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tables.json"
    path.write_text(text)
    with pytest.raises(ModelError, match="has no tables of a features codec"):
        load_tables(path)


# --- latents


def quantized(tables: LatentTables, level: int, tick: int, latents: Sequence[np.ndarray]) -> list[list[int]]:
    """What is to be told of `latents`: the nearest step, or what is expected where that is near enough."""
    before: list[int] | None = None
    found = []
    for one in latents:
        base, _ = expected_in_whole_numbers(tables, level, tick, before)
        wanted = one * tables.gains[level]
        before = [
            min(max(at if abs(value - at) < DEAD else round(value), at - REACH), at + REACH)
            for value, at in zip(wanted.tolist(), base, strict=True)
        ]
        found.append(before)
    return found


@given(seed=seeds, spread=st.sampled_from([0.0, 0.3, 1.0, 5.0, 1e3, 1e6]), count=st.integers(1, 5), level=levels,
       tick=ticks)  # fmt: skip
@settings(max_examples=40)
def test_latents_come_back_as_they_were_quantized(seed: int, spread: float, count: int, level: int, tick: int) -> None:
    tables, latents = load_tables(TABLES), walk(count, seed, spread)
    writer = PacketWriter()
    write_latents(writer, tables, level, TICKS_MS[tick], latents)
    found = read_latents(PacketReader(writer.data()), tables, level, TICKS_MS[tick], count)
    steps = np.array(quantized(tables, level, tick, latents))
    values = np.stack([one.values for one in found])
    assert {one.level for one in found} == {level}
    assert values.dtype == np.float32
    assert np.array_equal(values, (steps / tables.gains[level]).astype(np.float32))
    wanted = latents[0] * tables.gains[level]
    is_in_reach = np.abs(wanted - tables.centres[level] / 256) < REACH - 1
    assert np.all(np.abs(steps[0] - wanted)[is_in_reach] <= DEAD + 1e-3)


def test_finer_levels_are_closer_and_larger() -> None:
    contents = seen(20, 4)
    truth = np.stack([one.latents for one in contents])
    sizes, errors = [], []
    for level in range(MAX_QP + 1):
        data = packet_of(contents, level)
        found = decode(new_decoder(), data)
        assert level_of(found) == level
        sizes.append(len(data))
        errors.append(
            np.square(
                np.stack([one.latents.values for one in found[:: len(found) // 19] if one.latents]) - truth
            ).mean()
        )
    assert sizes[0] > 2 * sizes[-1]
    assert errors[0] < errors[-1] / 4
    assert np.all(np.diff(sizes) <= 0.15 * np.array(sizes[:-1]))
    assert np.all(np.diff(errors) > -0.3 * np.array(errors[:-1]))


@pytest.mark.parametrize("count", [1, 2, 100, MAX_SAMPLES])
def test_packets_of_any_number_of_samples_come_back(count: int) -> None:
    data = FeaturesCoder(1, 8, False).packet(Head(7, 100, count, None), seen(count, count), None)
    assert data is not None
    found = decode(new_decoder(), data, 5000)
    assert [one.time_ms for one in found] == [5000 + 100 * number for number in range(count)]
    assert all(one.face == 7 and one.box is None and one.estimate is None for one in found)
    assert all(one.pixels is NO_PIXELS for one in found)


@given(most=st.integers(10, 400), seed=seeds, count=st.integers(1, 12))
@settings(max_examples=30)
def test_the_finest_level_that_fits_is_sent_or_nothing(most: int, seed: int, count: int) -> None:
    coder, contents = FeaturesCoder(1, 8, False), seen(count, seed)
    data = coder.packet(head(count), contents, most)
    if data is None:
        assert len(coder.smallest(head(count), contents)) > most
        return
    assert len(data) <= most
    found = {thinned(contents, step, level): (step, level) for step in (1, 5) for level in range(16)}
    step, level = found[data]
    assert level == 0 or len(thinned(contents, step, level - 1)) > most


def test_the_smallest_packet_is_the_coarsest() -> None:
    coder, contents = FeaturesCoder(1, 0, True), seen(10)
    data = coder.smallest(head(10), contents)
    assert level_of(decode(new_decoder(), data)) == MAX_QP
    assert data == thinned(contents, 5, MAX_QP)


def test_samples_at_their_own_times_are_as_they_were() -> None:
    coder, contents = FeaturesCoder(1, 8, False), seen(4)
    found = coder.resampled([0.0, 0.2, 0.4, 0.6], contents, [0.0, 0.2, 0.4, 0.6])
    for one, other in zip(found, contents, strict=True):
        assert np.allclose(one.latents, other.latents, atol=1e-5)
    (late,) = coder.resampled([0.0, 0.2, 0.4, 0.6], contents, [3.0])
    assert np.allclose(late.latents, contents[-1].latents, atol=1e-5)


def test_a_lost_packet_costs_only_itself() -> None:
    packets = [packet_of(seen(5, number, number), level=number) for number in range(6)]
    whole, partly = new_decoder(), new_decoder()
    all_samples = [decode(whole, data, 1000 * number) for number, data in enumerate(packets)]
    for number in (5, 1, 4):  # others lost, or late
        for one, other in zip(decode(partly, packets[number], 1000 * number), all_samples[number], strict=True):
            assert (one.time_ms, one.face, one.box) == (other.time_ms, other.face, other.box)
            assert one.latents is not None
            assert other.latents is not None
            assert np.array_equal(one.latents.values, other.latents.values)


DECODE = """
import json, sys
from lowbeam.codec import CodedFace
from lowbeam.codec.compact import feature_networks as networks, features
coder = features.FeaturesCoder(1, 8, False)
decoder = features.FeaturesDecoder(coder.header)
found = [s.latents.values.tobytes().hex() for data in json.load(sys.stdin)
         for s in decoder.decode(CodedFace(bytes.fromhex(data), 0, True))]
sessions = networks.encoder.cache_info().currsize + networks.animator.cache_info().currsize
json.dump([found, sessions], sys.stdout)
"""


@pytest.mark.parametrize("threads", ["1", "3"])
def test_other_processes_with_other_threads_decode_the_same_bits_without_a_network(threads: str) -> None:
    packets = [packet_of(seen(10, seed), level) for seed, level in enumerate(range(0, MAX_QP + 1, 3))]
    env = os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "ORT_NUM_THREADS": threads}
    done = subprocess.run(
        [sys.executable, "-c", DECODE], input=json.dumps([data.hex() for data in packets]), capture_output=True,
        text=True, env=env, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, sessions = json.loads(done.stdout)
    own = [one for data in packets for one in decode(new_decoder(), data)]
    assert found == [one.latents.values.tobytes().hex() for one in own if one.latents is not None]
    assert sessions == 0


# --- the encoder


def test_faces_of_every_size_have_latents(hr_faces: Faces) -> None:
    whole = latents_of(hr_faces[:2])
    for side in range(MIN_SIDE, FACE_SIDE + 1):
        found = latents_of(resample(hr_faces[:2], side))
        assert found.shape == (2, K)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        assert side < 48 or np.abs(found - whole).mean() < 0.5


@pytest.mark.parametrize("grey", [0, 255, 128])
def test_a_face_of_one_grey_has_latents_that_can_be_told(grey: int) -> None:
    found = latents_of(np.full((1, 96, 96), grey, np.uint8))
    assert np.isfinite(found).all()
    contents = [Seen(0.0, found[0], NOTHING)]
    assert decode(new_decoder(), packet_of(contents, 0))[0].latents is not None


def test_latents_do_not_depend_on_the_batch(hr_faces: Faces) -> None:
    together = latents_of(hr_faces[:8])
    for number, one in enumerate(hr_faces[:8]):
        assert np.allclose(latents_of(one[None])[0], together[number], atol=1e-4)


def test_the_coder_tells_the_latents_of_the_face(hr_faces: Faces) -> None:
    coder = FeaturesCoder(1, 0, False)
    content = coder.content(Face(3.0, 1, BOX, hr_faces[0]), FaceEstimate(0, 0, 1, 1))
    assert content.time_s == 3.0
    assert np.array_equal(content.latents, latents_of(hr_faces[:1])[0])


# --- the header


def test_the_header_names_the_networks() -> None:
    header = FeaturesCoder(4, 8, False).header
    assert (header.codec, header.scale) == ("features", 4)
    assert header.config == VERSION + load_tables(TABLES).name.encode()
    assert isinstance(open_decoder(header), FeaturesDecoder)


@pytest.mark.parametrize("config", [b"\1", b"\1features-00000000", b"\1\x1b[31m\xff\n\0", b"\1" + b"x" * 300])
def test_other_networks_are_one_clear_error(config: bytes) -> None:
    with pytest.raises(StreamError, match="need the networks") as raised:
        open_decoder(TrackHeader("features", 1, 0, config))
    assert str(raised.value).isprintable()
    assert load_tables(TABLES).name in str(raised.value)


def test_another_version_of_the_packets_is_not_blamed_on_the_networks() -> None:
    config = b"\2" + load_tables(TABLES).name.encode()
    with pytest.raises(StreamError, match="another version"):
        open_decoder(TrackHeader("features", 1, 0, config))


# --- hostile bytes


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


# --- the key face


def test_a_still_is_small_and_looks_like_the_face(hr_faces: Faces) -> None:
    data = coded_still(hr_faces[0])
    assert len(data) <= KEY_BYTES
    found = decoded_still(data)
    assert (found.shape, found.dtype) == ((GRID, GRID), np.uint8)
    assert np.abs(found.astype(int) - resample(hr_faces[:1], GRID)[0]).mean() < 12


def test_a_still_of_noise_is_coded_too() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (96, 96)).astype(np.uint8)
    data = coded_still(noise)
    assert len(data) < MAX_KEY - 256
    assert decoded_still(data).shape == (GRID, GRID)


Packets = list[tuple[float, bytes]]


def packets_with_key(
    pixels: Grey, seconds: int, most: int | None, coder: FeaturesCoder | None = None, face: int = 0, start: int = 0
) -> Packets:
    """A packet of five samples for each second."""
    coder = coder or FeaturesCoder(1, 8, True)
    found = []
    for second in range(start, start + seconds):
        data = coder.packet(head(5, face), seen(5, second, float(second), pixels), most)
        assert data is not None
        assert most is None or len(data) <= most
        found.append((float(second), data))
    return found


def has_part(data: bytes) -> bool:
    return bool(PacketReader(data).read(HAS_KEY))


@pytest.mark.parametrize("most", [None, 400, 120])
def test_a_key_face_comes_in_parts_until_it_is_complete(most: int | None, hr_faces: Faces) -> None:
    decoder, packets = new_decoder(), packets_with_key(hr_faces[0], 20, most)
    shown = [decode(decoder, data, round(1000 * time_s))[0].pixels for time_s, data in packets]
    *others, last = [number for number, (_, data) in enumerate(packets) if has_part(data)]
    assert [one.size > 0 for one in shown] == [False] * last + [True] * (20 - last)
    assert others
    still = decoded_still(coded_still(hr_faces[0]))
    for one in shown[last:]:
        assert (one.shape, one.dtype) == ((GRID, GRID), np.uint8)
        assert np.abs(one.astype(int) - still).mean() < 60  # whatever the networks


def test_a_part_that_is_lost_makes_pictures_wait_for_the_next_key_face(hr_faces: Faces) -> None:
    decoder, packets = new_decoder(), packets_with_key(hr_faces[0], 70, 150)
    (lost, *_) = [number for number, (_, data) in enumerate(packets) if has_part(data)][1:]
    shown = {}
    for number, (time_s, data) in enumerate(packets):
        if number != lost:
            samples = decode(decoder, data, round(1000 * time_s))
            check_samples(samples)
            shown[time_s] = all(one.pixels.size for one in samples)
    first = min(time_s for time_s, is_shown in shown.items() if is_shown)
    assert KEY_EVERY_S <= first < KEY_EVERY_S + 10
    assert all(is_shown == (time_s >= first) for time_s, is_shown in shown.items())


def test_while_a_later_key_face_comes_the_former_is_shown(hr_faces: Faces) -> None:
    decoder, packets = new_decoder(), packets_with_key(hr_faces[0], 75, 150)
    shown = [decode(decoder, data, round(1000 * time_s))[0].pixels.size > 0 for time_s, data in packets]
    assert shown == [*[False] * shown.index(True), *[True] * (75 - shown.index(True))]
    with_parts = [time_s for time_s, data in packets if has_part(data)]
    assert any(time_s >= KEY_EVERY_S for time_s in with_parts)
    assert not any(15 < time_s < KEY_EVERY_S for time_s in with_parts)


def test_numbers_of_key_faces_come_round_without_mixing_them_up(hr_faces: Faces) -> None:
    decoder, coder = new_decoder(), FeaturesCoder(1, 15, True)
    for number in range(NUMBERS + 2):
        start = round(number * KEY_EVERY_S)
        pixels = hr_faces[3 * number]
        for time_s, data in packets_with_key(pixels, 4, None, coder, start=start):
            decode(decoder, data, round(1000 * time_s))
        assert np.array_equal(decoder._keys[0].pixels, decoded_still(coded_still(pixels)))


def test_each_person_of_a_track_gets_the_own_key_face(hr_faces: Faces) -> None:
    decoder, coder = new_decoder(), FeaturesCoder(1, 8, True)
    pixels = {0: hr_faces[0], 1: hr_faces[-1, :, ::-1].copy()}
    for second in range(40):  # they take turns in the track
        face = second // 2 % 2
        for time_s, data in packets_with_key(pixels[face], 1, 150, coder, face, start=second):
            decode(decoder, data, round(1000 * time_s))
    for face, one in pixels.items():
        assert np.array_equal(decoder._keys[face].pixels, decoded_still(coded_still(one)))


def test_nothing_of_the_pixels_is_sent_without_a_key_face(
    hr_faces: Faces, monkeypatch: pytest.MonkeyPatch, short_clip: Path, tmp_path: Path
) -> None:
    def refused(face: Grey) -> bytes:
        raise AssertionError("a still is coded")

    monkeypatch.setattr(key_face, "coded_still", refused)
    coder = FeaturesCoder(1, 8, False)
    contents = [coder.content(Face(number / 5, 0, BOX, one), FaceEstimate(0, 0, 1, 1)) for number, one in
                enumerate(hr_faces[:5])]  # fmt: skip
    other = [replace(one, pixels=NOTHING) for one in contents]
    for most in (None, 100, 2000):
        data = coder.packet(head(5), contents, most)
        assert data is not None
        assert data == coder.packet(head(5), other, most)  # the pixels make no difference
        assert not has_part(data)
        assert all(one.pixels is NO_PIXELS for one in decode(new_decoder(), data))
    lowbeam.pack(short_clip, tmp_path / "f.mkv", codec="features", qp=0)
    with FaceStreamReader(tmp_path / "f.mkv") as reader:
        assert {face.pixels.size for face in reader} == {0}


# --- estimates of latents


@pytest.fixture(scope="module")
def latent_reader() -> LatentReader:
    return LatentReader()


def latents(count: int, seed: int = 0) -> list[Latents]:
    rng = np.random.default_rng(seed)
    return [Latents(one, int(rng.integers(MAX_QP + 1))) for one in walk(count, seed)]


def rows_of(estimates: Estimates) -> np.ndarray:
    found = np.stack([estimates.valence, estimates.arousal, estimates.valence_std, estimates.arousal_std], 1)
    assert np.isfinite(found).all()
    assert np.abs(found[:, :2]).max() <= 1
    assert found[:, 2:].min() > 0
    return found


@pytest.mark.parametrize("count", [1, MAX_BATCH, 2 * MAX_BATCH + 3])
def test_estimates_do_not_depend_on_the_batch(count: int, latent_reader: LatentReader) -> None:
    given_latents = latents(count)
    together = rows_of(latent_reader.each(given_latents))
    assert together.shape == (count, 4)
    assert np.allclose(
        np.concatenate([rows_of(latent_reader.each([one])) for one in given_latents]), together, atol=1e-5
    )


@pytest.mark.parametrize("cut", [1, 7, MAX_BATCH, MAX_BATCH + 1])
def test_a_person_followed_in_parts_is_followed_as_at_once(cut: int, latent_reader: LatentReader) -> None:
    count = MAX_BATCH + 20
    given_latents, times = latents(count, 2), np.cumsum(np.random.default_rng(3).uniform(0.04, 1.5, count)).tolist()
    at_once, memory = latent_reader.follow(given_latents, times)
    first, between = latent_reader.follow(given_latents[:cut], times[:cut])
    second, after = latent_reader.follow(given_latents[cut:], times[cut:], between)
    assert np.allclose(np.concatenate([rows_of(first), rows_of(second)]), rows_of(at_once), atol=1e-4)
    assert np.allclose(after.state, memory.state, atol=1e-4)
    assert after.time_s == memory.time_s == times[-1]


def test_people_followed_together_are_followed_as_each(latent_reader: LatentReader) -> None:
    people = [latents(4, seed) for seed in range(MAX_BATCH + 3)]
    memories: list[Memory | None] = [None] * len(people)
    found = []
    for turn in range(4):
        times = [0.3 * turn + 0.01 * number for number in range(len(people))]
        read, after = latent_reader.follow_people([person[turn] for person in people], times, memories)
        memories = [*after]
        found.append(rows_of(read))
    for number in (0, 1, MAX_BATCH - 1, MAX_BATCH, len(people) - 1):
        times = [0.3 * turn + 0.01 * number for turn in range(4)]
        alone, memory = latent_reader.follow(people[number], times)
        assert np.allclose(rows_of(alone), [turn[number] for turn in found], atol=1e-4)
        together = memories[number]
        assert together is not None
        assert np.allclose(together.state, memory.state, atol=1e-4)


def test_times_of_a_person_must_increase(latent_reader: LatentReader) -> None:
    with pytest.raises(UsageError, match="must increase"):
        latent_reader.follow(latents(2), [1.0, 1.0])
    _, memory = latent_reader.follow(latents(1), [5.0])
    with pytest.raises(UsageError, match="must increase"):
        latent_reader.follow(latents(1), [5.0], memory)
    with pytest.raises(UsageError, match="must increase"):
        latent_reader.follow_people(latents(2), [6.0, 4.0], [memory, memory])


@pytest.mark.parametrize("threads", [0, 10_000])
def test_threads_out_of_range_are_refused(threads: int) -> None:
    with pytest.raises(UsageError, match="threads must be"):
        LatentReader(threads)


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    return Estimator("fast")


def test_a_memory_of_another_shape_is_of_no_use(estimator: Estimator, hr_faces: Faces) -> None:
    foreign = Memory(np.ones((2, 3), np.float32), 0.0)
    assert not estimator.fits(foreign)
    kinds = [Face(1.0, 0, BOX, hr_faces[0]), Face(1.0, 0, BOX, NO_PIXELS, latents(1)[0])]
    for face in kinds:
        with_foreign, memory = estimator.follow([face], foreign)
        assert np.array_equal(rows_of(with_foreign), rows_of(estimator.follow([face], None)[0]))
        assert memory is not None
        assert estimator.fits(memory)
        people, _ = estimator.follow_people([face, face], [foreign, None])
        assert np.allclose(rows_of(people), rows_of(with_foreign), atol=1e-4)


def test_estimates_that_came_are_taken_as_they_are(estimator: Estimator) -> None:
    came = [FaceEstimate(0.1, -0.2, 0.3, 0.4), FaceEstimate(1, -1, 0.01, 2)]
    faces = [Face(float(number), 0, BOX, NO_PIXELS, estimate=one) for number, one in enumerate(came)]
    memory = Memory(np.zeros((2, 3), np.float32), 0.0)
    for found in (estimator.each(faces), estimator.follow(faces, memory)[0]):
        assert np.allclose(rows_of(found), came)
    assert estimator.follow(faces, memory)[1] is memory
    assert not estimator.remembers(faces[0])


def mixed(hr_faces: Faces, seconds: float) -> dict[str, list[Face]]:
    """Pixels, latents and estimates of one person, at times of their own."""
    told, count = latents(round(5 * seconds)), round(5 * seconds)
    return {
        "pixels": [Face(n / 5, 0, BOX, hr_faces[n % 50]) for n in range(count)],
        "latents": [Face(n / 5 + 0.05, 0, BOX, NO_PIXELS, told[n]) for n in range(count)],
        "estimates": [Face(n / 5 + 0.1, 0, BOX, NO_PIXELS, estimate=FaceEstimate(0.1, 0.2, 0.3, 0.4))
                      for n in range(count)],
    }  # fmt: skip


def estimated(faces: Sequence[Face], estimator: Estimator, batch: int) -> dict[float, np.ndarray]:
    frames = [FrameFaces(face.time_s, [face]) for face in sorted(faces, key=lambda face: face.time_s)]
    return {
        frame.time_s: np.array(found[0][2:6]) for frame, found in estimates_of(frames, estimator, batch, False)
    }  # fmt: skip


@pytest.mark.parametrize("batch", [1, 32])
@pytest.mark.parametrize("kinds", [("pixels", "estimates"), ("latents", "estimates")])
def test_faces_of_other_kinds_between_leave_estimates_as_they_are(
    kinds: tuple[str, ...], batch: int, estimator: Estimator, hr_faces: Faces
) -> None:
    check_mixture(kinds, batch, estimator, hr_faces)


@pytest.mark.parametrize("batch", [1, 32])
def test_latents_and_pixels_of_a_person_are_remembered_apart(
    batch: int, estimator: Estimator, hr_faces: Faces
) -> None:  # fmt: skip
    check_mixture(("pixels", "latents", "estimates"), batch, estimator, hr_faces)


def check_mixture(kinds: tuple[str, ...], batch: int, estimator: Estimator, hr_faces: Faces) -> None:
    faces = mixed(hr_faces, 4)
    together = estimated([face for kind in kinds for face in faces[kind]], estimator, batch)
    for kind in kinds:
        for time_s, one in estimated(faces[kind], estimator, batch).items():
            assert np.allclose(together[time_s], one, atol=1e-3), (kind, time_s)


# --- files and the command line


def received(path: Path) -> tuple[list[Face], float | None]:
    with FaceStreamReader(path) as reader:
        return list(reader), reader.cut_at_s


@pytest.fixture(scope="module")
def packed(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, lowbeam.Packed]:
    path = tmp_path_factory.mktemp("packed") / "face.mkv"
    return path, lowbeam.pack(clip, path, budget="300bps", allow="features")


def test_three_hundred_bits_a_second_tell_the_clip(packed: tuple[Path, lowbeam.Packed], clip: Path) -> None:
    path, result = packed
    assert result.point.codec == "features"
    assert result.report is not None
    assert result.report.is_reachable
    assert result.report.most_bps <= 300
    counter = count_bytes(path)
    assert len(counter) == result.coded
    assert 8 * counter.rtp / 24 <= 300 * (1 + result.report.latency_s / 24) + 1  # the last span may end after the clip
    trace = lowbeam.read(path)
    assert trace.cut_at_s is None
    assert np.all(np.diff(trace.time_s) > 0)
    assert 24 * 5 < len(trace) <= 24 * 10 + 3
    assert np.all(np.isfinite(np.stack([*trace.columns.values()])))


def test_reading_does_not_depend_on_how_many_are_read_at_once(packed: tuple[Path, lowbeam.Packed]) -> None:
    """A pipe is read face by face, a file in batches."""
    trace = lowbeam.read(packed[0])
    faces, _ = received(packed[0])
    found = [one for frame in estimates_of([FrameFaces(face.time_s, [face]) for face in faces], Estimator(), 1, False)
             for one in frame[1]]  # fmt: skip
    assert np.allclose(np.array(found)[:, 2:6], np.array(list(trace))[:, 2:6], atol=1e-4)


@pytest.mark.parametrize("scale", [1, 4, 16])
def test_quality_scale_and_frame_rate_are_those_asked_for(scale: int, short_clip: Path, tmp_path: Path) -> None:
    sizes = []
    for qp in (0, MAX_QP):
        lowbeam.pack(short_clip, tmp_path / "f.mkv", codec="features", qp=qp, scale=scale, fps=10)
        faces, cut_at_s = received(tmp_path / "f.mkv")
        assert cut_at_s is None
        assert len(faces) == pytest.approx(20, abs=3)
        assert {face.latents.level for face in faces if face.latents is not None} == {qp}
        assert all(face.pixels is NO_PIXELS for face in faces)
        sizes.append(count_bytes(tmp_path / "f.mkv").payload)
    assert sizes[0] > 2 * sizes[1]


def test_with_a_key_face_the_far_side_sees_a_face(short_clip: Path, tmp_path: Path) -> None:
    lowbeam.pack(short_clip, tmp_path / "f.mkv", codec="features", qp=8, latency_s=0.5, key_face=True)
    faces, _ = received(tmp_path / "f.mkv")
    sizes = [face.pixels.shape for face in faces]
    assert sizes[0] == (0, 0)
    assert sizes[-1] == (GRID, GRID)
    assert sizes == sorted(sizes)
    lowbeam.read(tmp_path / "f.mkv", overlay=tmp_path / "o.mp4")
    assert (tmp_path / "o.mp4").stat().st_size > 1000
    plain = lowbeam.read(tmp_path / "f.mkv")
    lowbeam.pack(short_clip, tmp_path / "g.mkv", codec="features", qp=8, latency_s=0.5)
    without = lowbeam.read(tmp_path / "g.mkv")
    assert [one[:6] for one in plain] == [one[:6] for one in without]  # estimates are of the latents


def test_a_key_face_is_within_the_budget(clip: Path, tmp_path: Path) -> None:
    result = lowbeam.pack(clip, tmp_path / "f.mkv", budget="1500bps", allow="features", key_face=True)
    assert result.report is not None
    assert result.report.is_reachable
    assert result.report.most_bps <= 1500
    faces, cut_at_s = received(tmp_path / "f.mkv")
    assert cut_at_s is None
    assert faces[-1].pixels.shape == (GRID, GRID)


def said_by(*arguments: object) -> str:
    """The message of a command that fails."""
    with pytest.raises(LowbeamError) as raised:
        cli.run([*map(str, arguments)])
    return str(raised.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--codec features --qp 16", "QP 16 is out of range for features: 0 to 15"),
        ("--codec features --qp -1", "QP -1 is out of range"),
        ("--codec features --scale 5", "scale"),
        ("--codec features --budget 1kbps --qp 3", "either the budget or these"),
        ("--allow estimates --codec features", "--codec features sends features, which --allow leaves out"),
        ("--key-face", "--key-face is for features"),
        ("--key-face --codec hevc --qp 30", "--key-face is for features"),
        ("--key-face --codec estimates", "--key-face is for features"),
        ("--key-face --budget 100bps", "--key-face is for features"),
        ("--key-face --layers estimates,pixels --budget 1kbps", "--key-face is for features"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(options: str, said: str, short_clip: Path, tmp_path: Path) -> None:
    found = said_by("pack", short_clip, "-o", tmp_path / "f.mkv", *options.split())
    assert said in found
    assert "\n" not in found
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("codec", ["hevc", "estimates", None])
def test_a_key_face_over_the_link_is_for_features(codec: str | None, short_clip: Path) -> None:
    from lowbeam.sending import send

    with pytest.raises(UsageError, match="--key-face is for features"):
        send(short_clip, "lowbeam://127.0.0.1:9", token="x" * 40, codec=codec, key_face=True, finish_s=0.1)


def test_a_stream_of_other_networks_is_one_line_and_exit_2(
    packed: tuple[Path, lowbeam.Packed], tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    data, name = packed[0].read_bytes(), load_tables(TABLES).name.encode().hex().encode()
    assert data.count(name) == 1
    (tmp_path / "f.mkv").write_bytes(data.replace(name, b"elsewhere".hex().encode().ljust(len(name), b"0")))
    done = run_cli("read", "f.mkv", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("lowbeam: the features in the stream need the networks elsewhere")
    assert done.stderr.count("\n") == 1


@given(share=st.floats(0, 0.999))
@settings(max_examples=20)
def test_cut_anywhere_what_was_whole_is_read_and_the_end_is_told(
    share: float, packed: tuple[Path, lowbeam.Packed], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = packed[0].read_bytes()
    cut = tmp_path_factory.mktemp("cut") / "cut.mkv"
    cut.write_bytes(data[: int(share * len(data))])
    whole, _ = received(packed[0])
    try:
        faces, cut_at_s = received(cut)
    except StreamError:
        assert share < 0.7  # the header itself is cut
        return
    assert [face.time_s for face in faces] == [face.time_s for face in whole][: len(faces)]
    if len(faces) < len(whole):
        assert cut_at_s == (faces[-1].time_s if faces else 0.0)


@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12))
@settings(max_examples=20)
def test_whatever_the_bytes_nothing_but_our_errors_is_raised(
    places: list[tuple[float, int]], packed: tuple[Path, lowbeam.Packed], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(packed[0].read_bytes())
    for share, value in places:
        data[int(share * (len(data) - 1))] = value
    damaged = tmp_path_factory.mktemp("damaged") / "damaged.mkv"
    damaged.write_bytes(data)
    try:
        faces, _ = received(damaged)
    except LowbeamError:
        return
    assert all(face.latents is None or np.isfinite(face.latents.values).all() for face in faces)


def test_all_faces_have_latents_of_their_own(clip: Path, tmp_path: Path) -> None:
    result = lowbeam.pack(clip, tmp_path / "f.mkv", budget="800bps", allow="features", faces="all", key_face=True)
    assert result.tracks >= 1
    assert result.report is not None
    assert result.report.most_bps <= 800
    assert lowbeam.read(tmp_path / "f.mkv", faces="all").cut_at_s is None


# --- over the link

POINT = OperatingPoint("features", 1, 8, 5.0)


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_the_server_stores_every_sample_once(loss: float, hr_faces: Faces, tmp_path: Path) -> None:
    pytest.importorskip("aioquic", reason="aioquic comes with the extra link")
    pytest.importorskip("sqlalchemy", reason="SQLAlchemy comes with the extra serve")
    from tests.link_packets import sent_and_stored

    frames = [
        (number / 5, [Face(number / 5, person, BOX, hr_faces[(number + 20 * person) % 50]) for person in (0, 1)])
        for number in range(50)
    ]
    layers = Layers([CompactFixed(POINT, has_key_face=True)])
    rows, sent = asyncio.run(sent_and_stored(frames, layers, tmp_path, loss))
    assert all(row.is_final for row in rows)
    places = [(row.number, row.place) for row in rows]
    assert len(set(places)) == len(places)
    decoded: list[tuple[float, int]] = []
    for packets in sent:
        decoder = open_decoder(packets[0][0])
        decoded += [(one.time_ms / 1000, one.face or 0) for _, coded in packets for one in decoder.decode(coded)]
    assert len(decoded) >= 100  # with those between
    assert sorted((row.estimate.time_s, row.estimate.face) for row in rows) == sorted(decoded)
    assert np.isfinite([row.estimate.valence for row in rows]).all()
