"""Budgets of compact codecs: kept over any ten seconds whatever comes, and the times of the samples in between."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lowbeam.codec import CodedFace, OperatingPoint
from lowbeam.codec.budget import WINDOW_S, Budget, Counts, parse_budget
from lowbeam.codec.choice import budget_policy, fixed_policy, parse_kinds
from lowbeam.codec.compact.policy import LEAST, MIN_LATENCY_S, CompactBudget, CompactFixed, latency_for
from lowbeam.codec.compact.track_encoder import CompactTrackEncoder
from lowbeam.codec.rate_control import RateControl
from lowbeam.errors import UsageError
from lowbeam.face import NO_PIXELS, Box
from tests.compact_source import POINT, Feeling, Times, decoded, face_of, feeling, regular, sent_packets

LEAST_PACKET = 60  # bytes: no packet of a calm second is larger, with any headers


@dataclass
class Listening(CompactBudget):
    """A budget that keeps what was sent, and when."""

    log: list[tuple[float, int]] = field(default_factory=list)

    def __init__(self, budget: Budget, point: OperatingPoint, latency_s: float | None = None) -> None:
        super().__init__(budget, point, latency_s)
        self.log, self._own = [], budget

    def sent(self, size: int, end_s: float) -> None:
        super().sent(size, end_s)
        self.log.append((end_s, self._own.weigh(size, 0)))

    def most(self) -> int:
        """Most bytes in any ten seconds."""
        return max(
            (sum(size for at, size in self.log if end - WINDOW_S + 1e-3 < at <= end) for end, _ in self.log), default=0
        )


def times_of(packets: Sequence[CodedFace]) -> list[float]:
    return [sample.time_ms / 1000 for sample in decoded(packets)]


def check_times(packets: Sequence[CodedFace], seen: Times, tolerance_s: float = 0.05) -> list[float]:
    """Times increase, across packets too, and each lies near a time at which the face was seen or between two."""
    found = times_of(packets)
    assert all(b > a for a, b in pairwise(found))
    if found:
        assert seen[0] - 1e-3 <= found[0]
        assert found[-1] <= seen[-1] + tolerance_s + 1e-3
    return found


# --- how long samples are gathered


@given(bps=st.floats(1, 1e6), counts=st.sampled_from(["wire", "payload", "file", "link"]))
def test_the_latency_is_a_whole_part_of_the_window_and_headers_are_no_more_than_samples(
    bps: float, counts: Counts
) -> None:
    budget = Budget(bps, counts)
    latency_s = latency_for(budget)
    assert MIN_LATENCY_S <= latency_s <= WINDOW_S
    assert (WINDOW_S / latency_s) == pytest.approx(round(WINDOW_S / latency_s))
    if latency_s < WINDOW_S:
        assert bps * latency_s / 8 >= LEAST * budget.weigh(0, 0) - 1e-6


def test_the_latencies_that_the_documentation_states() -> None:
    assert latency_for(parse_budget("500bps")) == 1
    assert latency_for(parse_budget("100bps")) == 5
    assert latency_for(parse_budget("1bps")) == WINDOW_S


# --- which policy


def test_what_a_budget_sends() -> None:
    assert isinstance(budget_policy(Budget(100)), CompactBudget)
    assert isinstance(budget_policy(Budget(4000)), RateControl)
    assert isinstance(budget_policy(Budget(4000), kinds=("estimates",)), CompactBudget)
    assert isinstance(budget_policy(Budget(100), kinds=("pixels",)), RateControl)
    assert isinstance(fixed_policy(POINT), CompactFixed)
    assert parse_kinds("estimates, pixels", "--allow") == ("estimates", "pixels")
    with pytest.raises(UsageError, match="which --allow leaves out"):
        budget_policy(Budget(4000), "hevc", ("estimates",))


@pytest.mark.parametrize("text", ["", "pixel", "pixels,", "pixels,pixels", "pixels estimates"])
def test_what_is_no_kind_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="is not a list of pixels, "):
        parse_kinds(text, "--allow")


# --- the budget


@st.composite
def source_times(draw: st.DrawFn) -> Times:
    """Times of frames: regular or not, with gaps."""
    fps, jitter = draw(st.floats(0.4, 40)), draw(st.sampled_from([0.0, 0.1, 0.45, 3.0]))
    count = min(int(draw(st.floats(11, 40)) * fps), 200)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    gaps = rng.exponential(1 / fps, count) if jitter > 1 else (1 + jitter * rng.uniform(-1, 1, count)) / fps
    for place in draw(st.lists(st.integers(0, count - 1), max_size=3)):
        gaps[place] += draw(st.floats(0.5, 30))
    found: list[float] = (draw(st.sampled_from([0.0, 0.04, 100.0])) + np.cumsum(gaps)).tolist()
    return found


@given(times=source_times(), bps=st.floats(150, 4000), counts=st.sampled_from(["wire", "payload", "file", "link"]))
@settings(max_examples=8)
def test_no_ten_seconds_hold_more_than_the_budget(times: Times, bps: float, counts: Counts) -> None:
    policy = Listening(Budget(bps, counts), POINT)
    (packets,) = sent_packets(times, policy)
    report = policy.report
    assert packets
    assert report.is_reachable
    assert policy.most() <= bps * WINDOW_S / 8
    assert report.most_bps == pytest.approx(8 * policy.most() / WINDOW_S)


@given(
    times=source_times(), bps=st.floats(400, 4000), seed=st.integers(0, 99), people=st.integers(2, 4),
    latency_s=st.sampled_from([None, 0.3, 2.0, 7.0]),
)  # fmt: skip
@settings(max_examples=5)
def test_several_people_share_a_budget(
    times: Times, bps: float, seed: int, people: int, latency_s: float | None
) -> None:
    """People come and go at random."""
    policy = Listening(Budget(bps), POINT, latency_s)

    def seen(time_s: float) -> list[int]:
        rng = np.random.default_rng([seed, int(time_s / 3)])
        return [person for person in range(people) if rng.random() < 0.7]

    found = sent_packets(times, policy, seen, tracks=people)
    assert policy.most() <= max(bps * WINDOW_S / 8, LEAST_PACKET + 40)
    assert policy.report.is_reachable == (policy.most() <= bps * WINDOW_S / 8)
    assert sum(map(len, found)) == len(policy.log)


@pytest.mark.parametrize("bps", [1, 10, 30])
def test_a_budget_that_nothing_fits_sends_a_packet_in_ten_seconds_and_says_so(bps: float) -> None:
    policy = Listening(Budget(bps), POINT)
    (packets,) = sent_packets(regular(10, 40), policy)
    assert not policy.report.is_reachable
    assert len(packets) == 4
    assert policy.report.most_bps == pytest.approx(8 * policy.most() / WINDOW_S)
    assert policy.report.most_bps > bps
    check_times(packets, regular(10, 40))


def test_what_does_not_fit_is_counted() -> None:
    policy = Listening(Budget(60), POINT, latency_s=1.0)
    (packets,) = sent_packets(regular(10, 30), policy)
    assert policy.report.is_reachable
    assert policy.report.held_back + len(decoded(packets)) == 300
    assert policy.report.held_back > 150


def test_people_have_equal_shares() -> None:
    policy = Listening(Budget(600), POINT)
    found = sent_packets(regular(10, 40), policy, lambda time_s: [0, 1, 2], tracks=3)
    late = [sum(len(one.data) for one in packets if one.time_ms > 10_000) for packets in found]
    assert max(late) <= 1.3 * min(late)
    assert policy.most() > 0.6 * 600 * WINDOW_S / 8  # not half of it is unused


def test_a_budget_that_changes_is_kept_at_once() -> None:
    policy = Listening(Budget(2000), POINT)
    encoder, log = CompactTrackEncoder(policy, Feeling()), []
    for time_s in regular(10, 38):
        if abs(time_s - 20) < 0.01:
            policy.change_budget(300)
            policy._own = Budget(300)
        face = face_of(time_s)
        log += encoder.finish_by(time_s) + encoder.encode(face)
    late = [(at, size) for at, size in policy.log if at > 31]
    for end, _ in late:
        assert sum(size for at, size in late if end - WINDOW_S + 1e-3 < at <= end) <= 300 * WINDOW_S / 8
    assert policy.latency_s == latency_for(Budget(300))
    assert len(late) >= 3


# --- times


@pytest.mark.parametrize("fps", [1.0, 5.0, 12.5, 29.97])
@pytest.mark.parametrize("bps", [100, 500])
def test_a_source_of_any_frame_rate_is_told_to_its_end(fps: float, bps: float) -> None:
    policy = Listening(Budget(bps), POINT)
    (packets,) = sent_packets(regular(fps, 21), policy)
    found = check_times(packets, regular(fps, 21))
    assert policy.report.held_back == 0
    assert len(found) >= 0.9 * min(fps, 8) * 20
    assert np.diff(found).max() <= 1.5 / min(fps, 10) + 0.05
    truth = np.array([feeling(time_s, 0)[:2] for time_s in found])
    error = np.array([one.estimate[:2] for one in decoded(packets) if one.estimate]) - truth
    assert np.sqrt(np.square(error).mean()) < (0.3 if bps == 100 else 0.12)


@pytest.mark.parametrize("fps", [0.5, 0.9])
def test_a_source_slower_than_a_frame_in_a_second_shares_packets_too(fps: float) -> None:
    policy = Listening(Budget(100), POINT)
    (packets,) = sent_packets(regular(fps, 120), policy)
    assert policy.report.held_back <= 4  # until it is known how slow the source is
    assert len(decoded(packets)) >= 0.85 * fps * 120


@pytest.mark.parametrize("fps", [50.0, 60.0, 120.0])
def test_times_increase_at_high_frame_rates(fps: float) -> None:
    (packets,) = sent_packets(regular(fps, 8), CompactFixed(OperatingPoint("estimates", 1, 6, fps)))
    check_times(packets, regular(fps, 8))


def test_times_increase_whatever_the_times_of_the_frames() -> None:
    for seed in range(12):
        gaps = np.random.default_rng(seed).exponential(0.1, 300)
        (packets,) = sent_packets(np.cumsum(gaps).tolist(), CompactFixed(POINT))
        check_times(packets, np.cumsum(gaps).tolist())


def test_packets_are_sent_when_their_samples_are_as_old_as_the_latency() -> None:
    policy = CompactFixed(POINT, 2.0)
    encoder, waiting = CompactTrackEncoder(policy, Feeling()), list[float]()
    for time_s in regular(10, 20):
        done = encoder.finish_by(time_s)
        done += encoder.encode(face_of(time_s))
        waiting += [time_s - one.coded.time_ms / 1000 for one in done]
        assert encoder.is_open
    assert len(waiting) == 9
    assert max(waiting) <= 2.0


@pytest.mark.parametrize("latency_s", [0.05, 0.1, 60.0])
def test_any_latency_that_is_allowed_works(latency_s: float) -> None:
    (packets,) = sent_packets(regular(10, 90), fixed_policy(POINT, latency_s))  # type: ignore[arg-type]
    assert len(check_times(packets, regular(10, 90))) >= 890


def test_no_latency_sends_each_sample_by_itself() -> None:
    (packets,) = sent_packets(regular(10, 2), fixed_policy(POINT, 0.0))  # type: ignore[arg-type]
    assert len(packets) == 20


# --- people


def test_a_person_who_leaves_is_told_of_and_who_comes_back_begins_a_packet() -> None:
    policy = CompactBudget(Budget(200), POINT)
    (packets,) = sent_packets(regular(10, 26), policy, lambda time_s: [] if 12 <= time_s < 24 else [0])
    found = times_of(packets)
    assert not [time_s for time_s in found if 12 <= time_s < 24]
    assert max(time_s for time_s in found if time_s < 20) == pytest.approx(11.9)
    assert min(time_s for time_s in found if time_s > 20) == pytest.approx(24.0)


def test_a_packet_of_a_person_who_left_does_not_wait_for_their_return() -> None:
    encoder = CompactTrackEncoder(CompactFixed(POINT, 2.0), Feeling())
    for time_s in regular(10, 0.5):
        assert not encoder.encode(face_of(time_s))
    assert not encoder.finish_by(1.9)
    assert len(encoder.finish_by(2.0)) == 1
    assert not encoder.is_open


def test_two_people_in_one_track_are_not_mixed() -> None:
    policy = Listening(Budget(500), POINT)

    def turns(time_s: float) -> list[int]:
        return [int(time_s / 3.3) % 2]

    (packets,) = sent_packets(regular(10, 40), policy, turns)
    samples = decoded(packets)
    for sample in samples:
        assert sample.face in {int((sample.time_ms / 1000 + shift) / 3.3) % 2 for shift in (-0.05, 0.0, 0.05)}
        assert sample.estimate is not None
        truth = feeling(sample.time_ms / 1000, sample.face or 0)
        assert abs(sample.estimate.valence - truth.valence) < 0.5
    assert policy.most() <= 500 * WINDOW_S / 8
    boxes = {sample.face: sample.box for sample in samples if sample.box is not None}
    assert boxes[0].x < 100 < boxes[1].x  # each is told where it is


def test_a_box_is_told_again_when_it_moves_and_now_and_then() -> None:
    encoder, found = CompactTrackEncoder(CompactFixed(POINT), Feeling()), list[CodedFace]()
    for time_s in regular(10, 40):
        box = Box(10.0 if time_s < 21 else 300.0, 10.0, 80.0)
        found += [one.coded for one in encoder.encode(face_of(time_s, box=box))]
    told = [(sample.time_ms, sample.box) for packet in found for sample in decoded([packet])[:1] if sample.box]
    assert [time_ms for time_ms, _ in told][:5] == [0, 5000, 10_000, 15_000, 20_000]
    assert told[5][0] == 21_000
    assert told[5][1].x == pytest.approx(300, abs=8)
    assert all(sample.pixels is NO_PIXELS for sample in decoded(found))
