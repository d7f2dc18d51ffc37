"""Traces at regular times: held, joined by straight lines, and smoothed."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import lowbeam
from lowbeam.errors import UsageError
from lowbeam.trace import Estimate, How, Trace, at_times, load_csv

Floats = NDArray[np.float64]
HOWS = get_args(How)


def trace_of(times: list[float], values: list[float], face: int = 0) -> Trace:
    return Trace.from_estimates(
        [Estimate(t, face, v, -v, 0.1, 0.2, 10 + t, 20, 50) for t, v in zip(times, values, strict=True)]
    )


def smoothed_by_a_dense_kalman_filter(
    time_s: Floats, values: Floats, noise: Floats, at_s: Floats, walk: float
) -> tuple[Floats, Floats]:
    """The exact posterior of a random walk, by conditioning its joint distribution: mean and variance at `at_s`."""
    start_variance = 1e3  # nearly a flat prior
    times = np.concatenate([time_s, at_s])
    origin = times.min()
    covariance = start_variance + walk * np.minimum.outer(times - origin, times - origin)
    n = len(time_s)
    seen = covariance[:n, :n] + np.diag(noise)
    gain = covariance[n:, :n] @ np.linalg.inv(seen)
    return gain @ values, np.diag(covariance[n:, n:] - gain @ covariance[:n, n:])


@given(
    steps=st.lists(st.floats(0.05, 0.2), min_size=2, max_size=12), seed=st.integers(0, 99),
)  # fmt: skip
def test_smoothing_is_the_posterior_of_a_random_walk(steps: list[float], seed: int) -> None:
    from lowbeam.trace import resample

    time_s, rng = np.cumsum(steps), np.random.default_rng(seed)
    values = rng.uniform(-1, 1, len(time_s))
    at_s = np.sort(rng.uniform(time_s[0], time_s[-1], 7))
    noise = np.full(len(time_s), resample.NOISE_VARIANCE)
    mean, variance = smoothed_by_a_dense_kalman_filter(time_s, values, noise, at_s, resample.WALK_VARIANCE_PER_S)
    found, std = at_times(time_s, values, np.zeros(len(time_s)), at_s, "smooth")
    assert found == pytest.approx(mean, abs=1e-3)
    assert (std**2 + resample.NOISE_VARIANCE >= variance - 1e-5).all()


@given(
    times=st.lists(st.floats(0, 60), min_size=1, max_size=30, unique=True), seed=st.integers(0, 99),
    fps=st.sampled_from([1.0, 7.3, 25.0]), how=st.sampled_from(HOWS),
)  # fmt: skip
def test_rows_are_at_the_multiples_of_the_period_between_first_and_last(
    times: list[float], seed: int, fps: float, how: How
) -> None:
    rng = np.random.default_rng(seed)
    trace = trace_of(sorted(times), rng.uniform(-1, 1, len(times)).tolist())
    found = trace.resample(fps, how)
    assert np.allclose(found.time_s * fps, np.round(found.time_s * fps))
    assert (np.diff(found.time_s) > 0).all()
    assert ((found.time_s > min(times) - 0.51 / fps) & (found.time_s < max(times) + 0.51 / fps)).all()
    assert (found.valence >= trace.valence.min() - 1e-9).all()
    assert (found.valence <= trace.valence.max() + 1e-9).all()
    assert (found.valence_std >= 0.1 - 1e-9).all()
    assert (found.provenance, found.source) == (trace.provenance, trace.source)


def test_held_joined_and_smoothed_between_two_estimates() -> None:
    trace = trace_of([0.0, 0.1, 0.2, 0.3], [0.0, 0.0, 0.4, 0.4])
    held, linear, smooth = (trace.resample(20, how).valence for how in ("hold", "linear", "smooth"))
    assert held == pytest.approx([0, 0, 0, 0, 0.4, 0.4, 0.4])
    assert linear == pytest.approx([0, 0, 0, 0.2, 0.4, 0.4, 0.4])
    assert smooth == pytest.approx(linear, abs=0.03)


def test_deviations_grow_between_estimates_and_boxes_move() -> None:
    trace = trace_of([0.0, 1.0], [0.0, 0.5])
    for how in HOWS:
        found = trace.resample(10, how)
        assert found.valence_std[5] > found.valence_std[0] + 0.01
        assert found.x[0] == 10
    assert trace.resample(10, "linear").x[5] == pytest.approx(10.5)
    assert trace.resample(10, "hold").valence_std[9] > trace.resample(10, "linear").valence_std[9]


def test_silence_at_irregular_times_means_that_little_changed() -> None:
    irregular = trace_of([0.0, 0.1, 0.2, 2.0, 2.1], [0.0, 0.0, 0.0, 0.8, 0.8])
    regular = trace_of([0.0, 1.8, 3.6], [0.0, 0.8, 0.8])
    assert irregular.resample(10).valence[11] < 0.25  # at 1.1 s, half-way
    assert regular.resample(10).valence[9] == pytest.approx(0.4, abs=0.03)


def test_a_face_that_was_away_has_no_rows_in_between_and_faces_do_not_mix() -> None:
    both = Trace.from_estimates([*trace_of([0, 1, 9, 10], [0.1] * 4), *trace_of([0.5, 2.5], [0.9] * 2, face=1)])
    found = both.resample(2)
    assert found.of_face(0).time_s.tolist() == [0, 0.5, 1, 9, 9.5, 10]
    assert found.of_face(1).time_s.tolist() == [0.5, 1, 1.5, 2, 2.5]
    assert (np.diff(found.time_s) >= 0).all()
    assert (found.of_face(1).valence > 0.8).all()


def test_an_empty_trace_and_one_estimate_are_resampled() -> None:
    assert len(Trace.from_estimates([]).resample(25)) == 0
    assert trace_of([2.0], [0.3]).resample(25).valence.tolist() == [0.3]


def test_rates_and_ways_that_are_unknown_are_named() -> None:
    for fps in (0, -1, float("nan"), 1e9):
        with pytest.raises(UsageError, match="resampling to"):
            trace_of([0], [0]).resample(fps)
    with pytest.raises(UsageError, match="smooth, linear, hold"):
        trace_of([0], [0]).resample(25, "cubic")  # type: ignore[arg-type]


def test_read_writes_the_resampled_trace_to_all_its_files(
    face_stream: Path, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    out, plot = tmp_path / "trace.csv", tmp_path / "trace.png"
    done = run_cli("read", face_stream, "-o", out, "--plot", plot, "--resample", "50")
    assert done.returncode == 0, done.stderr
    trace = load_csv(out)
    assert np.diff(trace.time_s) == pytest.approx(0.02)
    assert plot.stat().st_size > 1000
    assert len(trace) == len(lowbeam.read(face_stream, resample_fps=50)) > len(lowbeam.read(face_stream))
    piped = run_cli("read", face_stream, "--resample", "50", "--resample-how", "hold")
    assert piped.stdout.count("\n") == len(trace) + 1
    wrong = run_cli("read", face_stream, "-o", out, "--resample", "0")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
