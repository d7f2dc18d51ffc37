"""Packets of compact codecs: the range coder and its bytes, polylines, the head, and hostile packets."""

import hashlib
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbeam.codec import CodedFace, TrackHeader, open_decoder
from lowbeam.codec.compact.coder import MAX_QP, VERSION, EstimatesCoder, EstimatesDecoder
from lowbeam.codec.compact.estimates import PRICE, STDS, STEPS, STRIDES, corners_of, fitted_body
from lowbeam.codec.compact.head import MAX_SAMPLES, PLACES, TICKS_MS, Head, has_moved, read_head, tick_for, write_head
from lowbeam.codec.compact.polyline import (
    KINDS,
    Corners,
    _bits_of_changes,
    change_frequencies,
    fitted,
    read_polyline,
    write_polyline,
)
from lowbeam.codec.compact.range_coding import (
    LENGTHS,
    MAX_LENGTH,
    TOTAL,
    Frequencies,
    PacketReader,
    PacketWriter,
    cost_bits,
    scaled,
)
from lowbeam.codec.cues import MAX_FACE_ID, MAX_PLACE
from lowbeam.errors import LowbeamError, StreamError
from lowbeam.face import NO_PIXELS, Box, FaceEstimate

EVEN_COST = 1e-3  # bits: `Uniform` rounds to 24 bits


class ReferenceDecoder:
    """A decoder of the same bytes by whole numbers alone: a range coder with words of 32 bits, a state of 64 bits and
    frequencies that add up to 2^24; bytes that are missing at the end are zeros."""

    PRECISION, WORD, MASK = 24, 32, 2**64 - 1

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._lower, self._range = 0, self.MASK
        self._point = self._word() << self.WORD | self._word()

    def _word(self) -> int:
        word = self._data[self._at : self._at + 4].ljust(4, b"\0")
        self._at += 4
        return int.from_bytes(word)

    def _take(self, left: list[int]) -> int:
        """The symbol; `left` are the sums of frequencies before each symbol, and their total."""
        scale = self._range >> self.PRECISION
        quantile = (self._point - self._lower & self.MASK) // scale
        if quantile >= 1 << self.PRECISION:
            raise StreamError("a packet is damaged")
        symbol = next(index for index in range(len(left) - 1) if quantile < left[index + 1])
        self._lower = self._lower + scale * left[symbol] & self.MASK
        self._range = scale * (left[symbol + 1] - left[symbol])
        if self._range < 1 << self.WORD:
            self._lower = self._lower << self.WORD & self.MASK
            self._range <<= self.WORD
            self._point = (self._point << self.WORD | self._word()) & self.MASK
        return symbol

    def read(self, frequencies: Frequencies) -> int:
        """As `PacketReader.read`: frequencies of 16 bits are stretched to 24 so that none is zero."""
        spare, sums = (1 << self.PRECISION) - len(frequencies), [0, *np.cumsum(frequencies).tolist()]
        left = [total * spare // TOTAL + index for index, total in enumerate(sums[:-1])]
        return self._take([*left, 1 << self.PRECISION])

    def read_evenly(self, count: int) -> int:
        """As `PacketReader.read_evenly`: the last value has what the division leaves."""
        if count == 1:
            return self.read(np.array([TOTAL - 1, 1]))
        each = (1 << self.PRECISION) // count
        return self._take([*(each * index for index in range(count)), 1 << self.PRECISION])

    def read_large(self, low_bits: int) -> int:
        """As `PacketReader.read_large`."""
        value = 1
        for _ in range(self.read(LENGTHS) + low_bits):
            value = 2 * value + self.read_evenly(2)
        return value - (1 << low_bits)


weights = st.lists(st.floats(0, 1e6), min_size=2, max_size=200).filter(lambda found: sum(found) > 1e-3)
Numbers = list[tuple[str, int, int, Frequencies]]  # kind, value, count or low bits, frequencies
NONE = np.array([1])


@st.composite
def numbers(draw: st.DrawFn, most: int = 40) -> Numbers:
    """Numbers of all kinds, with what they are coded by."""
    tables = [scaled(np.array(one)) for one in draw(st.lists(weights, min_size=1, max_size=3))]
    found: Numbers = []
    for kind in draw(st.lists(st.sampled_from(["table", "even", "large"]), max_size=most)):
        if kind == "table":
            table = draw(st.sampled_from(tables))
            found.append((kind, draw(st.integers(0, len(table) - 1)), 0, table))
        elif kind == "even":
            count = draw(st.sampled_from([1, 2, 3, 4, 7, 12, 16, 93, 256, 5000, 65536]))
            found.append((kind, draw(st.integers(0, count - 1)), count, NONE))
        else:
            low_bits = draw(st.integers(0, 4))
            most_value = (1 << MAX_LENGTH + low_bits) - (1 << low_bits) - 1
            found.append((kind, draw(st.integers(0, 40) | st.integers(0, most_value)), low_bits, NONE))
    return found


def written(found: Numbers) -> bytes:
    writer = PacketWriter()
    for kind, value, by, table in found:
        if kind == "table":
            writer.write(value, table)
        elif kind == "even":
            writer.write_evenly(value, by)
        else:
            writer.write_large(value, by)
    return writer.data()


def read_again(reader: PacketReader | ReferenceDecoder, found: Numbers) -> list[int]:
    ways = {"even": reader.read_evenly, "large": reader.read_large}
    return [reader.read(table) if kind == "table" else ways[kind](by) for kind, _, by, table in found]


def bits_of(found: Numbers) -> float:
    """The information of `found` under their frequencies."""
    bits = 0.0
    for kind, value, by, table in found:
        if kind == "table":
            bits += float(cost_bits(table)[value])
        elif kind == "even":
            bits += math.log2(by)
        else:
            length = ((value >> by) + 1).bit_length() - 1
            bits += float(cost_bits(LENGTHS)[length]) + length + by
    return bits


# --- the range coder


@given(one=weights)
def test_frequencies_add_up_and_leave_no_value_out(one: list[float]) -> None:
    table = scaled(np.array(one))
    assert table.sum() == TOTAL
    assert table.min() >= 1
    others = np.delete(table, table.argmax())  # the largest has what rounding leaves
    assert np.all(np.diff(others[np.argsort(np.delete(one, table.argmax()), kind="stable")]) >= 0)


@given(found=numbers())
@settings(max_examples=200)
def test_numbers_come_back(found: Numbers) -> None:
    assert read_again(PacketReader(written(found)), found) == [value for _, value, _, _ in found]


@given(found=numbers(most=80))
@settings(max_examples=200)
def test_the_bytes_are_as_few_as_the_information(found: Numbers) -> None:
    spent = 8 * len(written(found))
    assert spent <= bits_of(found) + len(found) * EVEN_COST * 20 + 8 + 2


@given(found=numbers())
@settings(max_examples=200)
def test_a_decoder_of_whole_numbers_reads_the_same(found: Numbers) -> None:
    assert read_again(ReferenceDecoder(written(found)), found) == [value for _, value, _, _ in found]


@given(data=st.binary(max_size=60), found=numbers())
@settings(max_examples=200)
def test_the_decoders_agree_on_any_bytes(data: bytes, found: Numbers) -> None:
    results: list[object] = []
    for reader in (PacketReader(data), ReferenceDecoder(data)):
        try:
            results.append(read_again(reader, found))
        except StreamError:
            results.append("damaged")
    assert results[0] == results[1]


def test_nothing_costs_nothing() -> None:
    assert PacketWriter().data() == b""
    assert written([("even", 0, 1, NONE)] * 20) == b""  # a number that cannot differ


def test_bytes_that_follow_a_packet_do_not_change_its_numbers() -> None:
    found: Numbers = [("even", value % 93, 93, NONE) for value in range(30)]
    data = written(found)
    for more in (b"\0", b"\0" * 7):
        assert read_again(PacketReader(data + more), found) == [value for _, value, _, _ in found]


def test_a_number_that_is_too_large_to_write_is_an_error_and_no_wrong_number() -> None:
    writer = PacketWriter()
    with pytest.raises(Exception):  # noqa: B017, PT011  (at the write or at the end; never other numbers)
        writer.write_large((1 << MAX_LENGTH + 1) + 5, 1)
        assert PacketReader(writer.data()).read_large(1) == (1 << MAX_LENGTH + 1) + 5


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_probabilities_of_changes_are_the_same_everywhere(kind: int) -> None:
    """Both sides make the tables; what they are is part of the format."""
    for context in range(3):
        for reach in sorted({2 * math.ceil(1 / step) for step in STEPS}):
            table = change_frequencies(kind, context, reach)
            assert table.sum() == TOTAL
            assert len(table) == 2 * reach + 1
            assert table.min() >= 1
            assert np.array_equal(table[:reach], table[: -reach - 1 : -1])  # no preference for up or down


def test_the_tables_are_those_of_the_format() -> None:
    """A table that differs on another machine, or with another NumPy, would garble every packet."""
    reaches = [2 * math.ceil(1 / step) for step in STEPS]
    every = [
        change_frequencies(kind, one, reach) for kind in range(len(KINDS)) for one in range(3) for reach in reaches
    ]
    digest = hashlib.sha256(np.concatenate(every).astype("<i8").tobytes()).hexdigest()
    assert digest[:16] == "7d118ce42803ae2a"


def test_a_packet_has_the_bytes_of_the_format() -> None:
    samples = [FaceEstimate(v / 10, -v / 20, 0.15, 0.2) for v in (0, 1, 3, 3, 3, 2, -2, -5, -5, -4)]
    data = packet_of(samples, box=Box(100.0, 50.0, 120.0))
    assert data.hex() == "77bd1f2bfb065c3ded3bcfec9eb7685809"
    found = EstimatesDecoder(EstimatesCoder(1, 6).header).decode(CodedFace(data, 0, True))
    assert [round(one.estimate.valence, 4) for one in found if one.estimate] == [
        0.0,
        0.0884,
        0.3094,
        0.3094,
        0.3094,
        0.221,
        -0.221,
        -0.4861,
        -0.4861,
        -0.3977,
    ]


# --- polylines

signals = st.lists(st.floats(-1.2, 1.2), min_size=1, max_size=60).map(np.array)
strides, steps = st.integers(0, len(STRIDES) - 1), st.integers(0, len(STEPS) - 1)


@given(signal=signals, stride=strides, step=steps, multiplier=st.floats(1e-4, 50))
@settings(max_examples=150)
def test_a_polyline_comes_back(signal: np.ndarray, stride: int, step: int, multiplier: float) -> None:
    corners = corners_of(len(signal), stride, step)
    line = fitted(signal / STEPS[step], corners, multiplier)
    writer = PacketWriter()
    write_polyline(writer, line, corners)
    assert read_polyline(PacketReader(writer.data()), corners).tolist() == line.values.tolist()
    assert np.abs(line.values).max() <= corners.reach
    assert line.error == pytest.approx(((corners.drawn(line.values) - signal / STEPS[step]) ** 2).sum(), abs=1e-9)
    assert 8 * len(writer.data()) <= line.bits + math.log2(len(KINDS)) + 8 + 2


@given(signal=signals, stride=strides, step=steps, multiplier=st.floats(1e-4, 50))
@settings(max_examples=150)
def test_no_rounded_polyline_is_better_than_the_one_found(
    signal: np.ndarray, stride: int, step: int, multiplier: float
) -> None:
    corners = corners_of(len(signal), stride, step)
    scaled_signal = signal / STEPS[step]
    line = fitted(scaled_signal, corners, multiplier)
    rounded = np.rint(scaled_signal[corners.places]).astype(np.int64).clip(-corners.reach, corners.reach)
    error = float(((corners.drawn(rounded) - scaled_signal) ** 2).sum())
    for kind in range(len(KINDS)):
        bits = math.log2(2 * corners.reach + 1) + _bits_of_changes(rounded, kind, corners.reach)
        assert line.error + multiplier * line.bits <= error + multiplier * bits + 1e-6


def test_the_search_finds_the_best_of_all_polylines() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        signal, corners, multiplier = rng.normal(0, 1.0, 7), Corners(7, 2, 3), float(rng.uniform(0.05, 2))
        line = fitted(signal, corners, multiplier)
        near = [range(max(-3, round(x) - 2), min(3, round(x) + 2) + 1) for x in signal[corners.places]]
        best = min(
            float(((corners.drawn(np.array(way)) - signal) ** 2).sum())
            + multiplier * (math.log2(7) + _bits_of_changes(np.array(way), kind, 3))
            for way in np.stack(np.meshgrid(*near), -1).reshape(-1, len(near))
            for kind in range(len(KINDS))
        )
        assert line.error + multiplier * line.bits == pytest.approx(best)


# --- the head


def head_again(head: Head) -> Head:
    writer = PacketWriter()
    write_head(writer, head)
    return read_head(PacketReader(writer.data()))


boxes = st.builds(
    Box.around, st.floats(-8000, 16384), st.floats(-8000, 16384), st.sampled_from([0.0, 0.01, 1.0, 20.0, 96.5, 9000.0])
    | st.floats(1, 16384),
)  # fmt: skip


@given(box=boxes, face=st.integers(0, 2**20), tick=st.sampled_from(TICKS_MS), count=st.integers(1, MAX_SAMPLES))
@settings(max_examples=150)
def test_a_head_comes_back_with_its_box_within_an_eighth(box: Box, face: int, tick: int, count: int) -> None:
    found = head_again(Head(face, tick, count, box))
    assert (found.face, found.tick_ms, found.count) == (face, tick, count)
    assert found.box is not None
    side = max(box.side, 1.0)
    assert abs(math.log2(found.box.side / side)) <= 1 / 16 + 1e-9
    for near, true in zip(found.box.centre, box.centre, strict=True):
        assert abs(near - true) <= 1.05 * side / PLACES / 2 + 1e-6
    assert not has_moved(Box.around(*box.centre, side), found.box)


def test_a_box_that_is_larger_than_any_is_sent_at_the_largest_size() -> None:
    found = head_again(Head(0, 100, 1, Box.around(100.0, 100.0, 1e6)))
    assert found.box is not None
    assert 5e4 < found.box.side < MAX_PLACE


@pytest.mark.parametrize("face", [0, 1, 2, 1000, 2**24, 2**25 - 3])
def test_a_long_id_comes_back(face: int) -> None:
    assert head_again(Head(face, 40, 1, None)) == Head(face, 40, 1, None)


@pytest.mark.parametrize("face", [2**25, MAX_FACE_ID - 1])
def test_the_longest_id_of_a_cue_comes_back(face: int) -> None:
    assert head_again(Head(face, 40, 1, None)).face == face


@given(step_s=st.floats(1e-4, 100))
def test_the_tick_is_never_much_longer_than_the_step(step_s: float) -> None:
    assert tick_for(step_s) in TICKS_MS
    assert tick_for(step_s) <= max(1250 * step_s, TICKS_MS[0])


def test_the_tick_does_not_depend_on_how_a_step_was_rounded() -> None:
    for tick in TICKS_MS:
        step_s = tick / 1250
        assert tick_for(step_s * (1 - 1e-9)) == tick_for(step_s) == tick_for(step_s * (1 + 1e-9))


# --- packets of estimates


def lively(count: int, seed: int = 0, std: float = 0.15) -> list[FaceEstimate]:
    rng = np.random.default_rng(seed)
    walk = np.clip(np.cumsum(rng.normal(0, 0.06, (count, 2)), 0), -0.95, 0.95)
    return [FaceEstimate(v, a, std, 1.3 * std) for v, a in walk.tolist()]


def packet_of(samples: list[FaceEstimate], qp: int = 6, box: Box | None = None, most: int | None = None) -> bytes:
    data = EstimatesCoder(1, qp).packet(Head(3, 100, len(samples), box), samples, most)
    assert data is not None
    return data


def test_the_header_names_the_version() -> None:
    header = EstimatesCoder(1, 6).header
    assert header.config == VERSION
    assert isinstance(open_decoder(header), EstimatesDecoder)
    for config in (b"", b"\x02", VERSION + b"\0"):
        with pytest.raises(StreamError, match="another version"):
            open_decoder(TrackHeader("estimates", 1, 0, config))


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 255, MAX_SAMPLES])
@pytest.mark.parametrize("qp", [0, 6, MAX_QP])
def test_packets_of_any_number_of_samples_come_back(count: int, qp: int) -> None:
    samples = lively(count, seed=count)
    found = EstimatesDecoder(EstimatesCoder(1, qp).header).decode(CodedFace(packet_of(samples, qp), 5000, True))
    assert [one.time_ms for one in found] == [5000 + 100 * number for number in range(count)]
    assert all(one.face == 3 and one.box is None and one.pixels is NO_PIXELS for one in found)
    estimates = np.array([one.estimate for one in found])
    error = np.sqrt(np.square(estimates[:, :2] - np.array(samples)[:, :2]).mean(0))
    allowed = 0.15 * math.sqrt(max(PRICE * 2 ** (qp - 10), 2**-12)) * (3 if count > 1 else 4)
    assert np.all(error <= allowed + STEPS[-1])
    assert np.all(estimates[:, 2:] >= STDS[0])
    assert np.all(np.abs(np.log2(estimates[:, 2:] / np.hypot([0.15, 0.195], error))) <= 0.2 + 1e-6)


def test_finer_packets_are_larger_and_closer() -> None:
    samples = lively(50)
    bodies = [fitted_body(samples, PRICE * 2.0 ** (qp - 10)) for qp in range(MAX_QP + 1)]
    assert np.all(np.diff([body.error for body in bodies]) >= -1e-9)
    assert np.all(np.diff([body.bits for body in bodies]) <= 1e-9)


@given(most=st.integers(8, 80), seed=st.integers(0, 20), count=st.integers(1, 60))
@settings(max_examples=40)
def test_a_packet_keeps_to_the_size_allowed_or_there_is_none(most: int, seed: int, count: int) -> None:
    coder, head, samples = EstimatesCoder(1, 6), Head(3, 100, count, Box(10, 10, 90)), lively(count, seed)
    data = coder.packet(head, samples, most)
    if data is None:
        assert len(coder.smallest(head, samples)) > most
    else:
        assert len(data) <= most


def test_a_calm_person_costs_next_to_nothing() -> None:
    calm = [FaceEstimate(0.1, -0.2, 0.15, 0.2)] * 50
    assert len(packet_of(calm)) <= 8
    assert 8 < len(packet_of(lively(50))) < 60


@pytest.mark.parametrize(
    "one",
    [FaceEstimate(1, 1, 0, 0), FaceEstimate(-1, -1, 1e3, 1e3), FaceEstimate(1.5, -1.5, 1e-9, 1e3),
     FaceEstimate(-1, -1, 0.04, 0.04)],
)  # fmt: skip
@pytest.mark.parametrize("qp", [0, MAX_QP])
def test_estimates_at_their_limits_stay_in_range(one: FaceEstimate, qp: int) -> None:
    data = packet_of([one] * 3, qp)
    assert data  # a container takes an empty packet for the end
    for sample in EstimatesDecoder(EstimatesCoder(1, qp).header).decode(CodedFace(data, 0, True)):
        assert sample.estimate is not None
        assert max(map(abs, sample.estimate[:2])) <= 1
        assert STDS[0] <= min(sample.estimate[2:]) <= max(sample.estimate[2:]) <= STDS[-1]


def check_hostile(data: bytes) -> None:
    try:
        found = EstimatesDecoder(EstimatesCoder(1, 6).header).decode(CodedFace(data, 1000, True))
    except StreamError:
        return
    assert 1 <= len(found) <= MAX_SAMPLES
    times = [one.time_ms for one in found]
    assert times == sorted(set(times))
    assert times[0] == 1000
    for one in found:
        assert one.estimate is not None
        assert one.face is not None
        assert 0 <= one.face < MAX_FACE_ID
        assert np.isfinite(one.estimate).all()
        assert np.abs(one.estimate[:2]).max() <= 1
        assert STDS[0] <= min(one.estimate[2:]) <= max(one.estimate[2:]) <= STDS[-1]
        assert one.box is None or (math.hypot(*one.box.centre) <= MAX_PLACE and 1 <= one.box.side < MAX_PLACE)


@given(data=st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_give_samples_in_range_or_our_error(data: bytes) -> None:
    check_hostile(data)


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"\xff", b"\0" * 60_000, b"\xff" * 60_000, random.Random(1).randbytes(60_000)]
)
def test_extreme_bytes_give_samples_in_range_or_our_error(data: bytes) -> None:
    check_hostile(data)


@given(place=st.floats(0, 0.999), bit=st.integers(0, 7), cut=st.booleans())
@settings(max_examples=150)
def test_a_cut_or_changed_packet_gives_samples_in_range_or_our_error(place: float, bit: int, cut: bool) -> None:
    data = bytearray(packet_of(lively(50), box=Box(100, 50, 120)))
    at = int(place * len(data))
    data[at] ^= 1 << bit
    check_hostile(bytes(data[:at] if cut else data))


def test_errors_of_damaged_packets_are_of_the_tree() -> None:
    assert issubclass(StreamError, LowbeamError)
