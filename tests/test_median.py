"""The running median of a trace."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lowbeam
from lowbeam.errors import UsageError
from lowbeam.trace import Estimate, Trace, load_csv, running_median

times = st.lists(st.integers(0, 4000), min_size=1, max_size=40, unique=True).map(sorted)


def trace_of(time_s: list[float], valence: list[float], face: int = 0) -> list[Estimate]:
    return [Estimate(t, face, v, -v, 0.1, 0.2, 1, 2, 50) for t, v in zip(time_s, valence, strict=True)]


def test_a_blink_disappears_and_a_step_stays() -> None:
    time_s = [i / 25 for i in range(50)]
    shown = np.where(np.arange(50) < 30, 0.1, 0.6)
    blinking = shown.copy()
    blinking[10:14] -= 0.4
    found = Trace.from_estimates(trace_of(time_s, blinking.tolist())).median(0.6)
    assert np.array_equal(found.valence, shown)
    assert np.array_equal(found.arousal, -shown)
    assert found.time_s.tolist() == time_s


@given(times, st.floats(0.01, 2))
def test_each_is_the_median_of_as_many_before_as_after_within_the_window(time_ms: list[int], window_s: float) -> None:
    time_s = np.array(time_ms) / 1000
    values = np.random.default_rng(len(time_ms)).normal(size=len(time_ms))
    found = running_median(time_s, values, window_s)
    for i, t in enumerate(time_s):
        near = np.flatnonzero(np.abs(time_s - t) <= window_s / 2 + 0.001)
        reach = min(i - near[0], near[-1] - i)
        assert found[i] == np.median(values[i - reach : i + reach + 1])


def test_faces_do_not_mix_and_their_order_stays() -> None:
    first, second = trace_of([0, 0.04, 0.08], [0.1, 0.9, 0.2]), trace_of([0, 0.04, 0.08], [-0.5, -0.5, -0.4], face=1)
    rows = [row for pair in zip(second, first, strict=True) for row in pair]
    trace = Trace.from_estimates(rows, source="a.mp4", cut_at_s=0.1)
    found = trace.median(1.0)
    assert found.face.tolist() == [1, 0] * 3
    assert found.of_face(0).valence.tolist() == [0.1, 0.2, 0.2]
    assert found.of_face(1).valence.tolist() == [-0.5, -0.5, -0.4]
    assert (found.source, found.cut_at_s) == ("a.mp4", 0.1)
    assert trace.valence.tolist() != found.valence.tolist()


def test_a_window_does_not_reach_across_an_absence() -> None:
    time_s = [i / 25 for i in range(10)] + [20 + i / 25 for i in range(10)]
    values = [0.1] * 10 + [0.8] * 10
    found = Trace.from_estimates(trace_of(time_s, values)).median(60)
    assert found.valence.tolist() == values


@pytest.mark.parametrize("window_s", [0.0, -1.0, 61.0, float("nan"), float("inf")])
def test_a_window_out_of_range_is_refused(window_s: float) -> None:
    with pytest.raises(UsageError, match="is out of range: above 0, up to 60"):
        Trace.from_estimates(trace_of([0.0], [0.5])).median(window_s)


def test_read_writes_medians_and_then_regular_times(
    short_clip: Path, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    trace = lowbeam.read(short_clip)
    run_cli("read", short_clip, "--median", "0.6", "-o", tmp_path / "t.csv")
    run_cli("read", short_clip, "--median", "0.6", "--resample", "10", "-o", tmp_path / "r.csv")
    assert np.allclose(load_csv(tmp_path / "t.csv").valence, trace.median(0.6).valence, atol=1e-4)
    assert np.allclose(load_csv(tmp_path / "r.csv").valence, trace.median(0.6).resample(10).valence, atol=1e-4)
