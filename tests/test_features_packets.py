"""Packets of the features codec: latents, levels, loss, the encoder and the header."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbeam.codec import TrackHeader, open_decoder
from lowbeam.codec.compact.feature_networks import TABLES, latents_of
from lowbeam.codec.compact.features import (
    MAX_QP,
    VERSION,
    FeaturesCoder,
    FeaturesDecoder,
    Seen,
)
from lowbeam.codec.compact.head import MAX_SAMPLES, TICKS_MS, Head
from lowbeam.codec.compact.latents import read_latents, write_latents
from lowbeam.codec.compact.prior import DEAD, REACH, LatentTables, load_tables
from lowbeam.codec.compact.range_coding import PacketReader, PacketWriter
from lowbeam.errors import StreamError
from lowbeam.face import NO_PIXELS, Face, FaceEstimate
from lowbeam.scale import FACE_SIDE, MIN_SIDE, Faces, resample
from tests.feature_packets import (
    BOX,
    NOTHING,
    K,
    decode,
    expected_in_whole_numbers,
    head,
    level_of,
    levels,
    new_decoder,
    packet_of,
    seeds,
    seen,
    thinned,
    ticks,
    walk,
)


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
