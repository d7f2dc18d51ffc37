"""Estimates at regular times, from estimates at the times at which faces were received.

``hold`` keeps each estimate until the next, as a live receiver must. ``linear`` joins them by straight lines.
``smooth`` is the fixed-interval smoother of Rauch, Tung & Striebel (1965, AIAA Journal 3) for a random walk that is
observed at irregular times. A sender that sends faces at irregular times has sent nothing because little had changed:
so where the gap before a face is longer than usual, the estimate before the gap is observed once more, with a larger
deviation, shortly before the face.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from lowbeam.errors import UsageError
from lowbeam.trace.absence import longest_step_s
from lowbeam.trace.estimate import COLUMNS, EXPRESSION_COLUMNS

How = Literal["smooth", "linear", "hold"]
MAX_FPS = 1000.0
WALK_VARIANCE_PER_S = 0.03  # of the random walk; this and the next three were chosen on split valid
NOISE_VARIANCE = 0.00015  # of an estimate, as far as it is not common to its neighbours
SILENCE_VARIANCE = 0.003  # of an estimate that is observed once more
SILENCE_S = 0.2  # before a face: the time at which the estimate before the gap is observed once more
LONG_GAP = 1.5  # shortest usual gaps (the lower decile) that a gap must exceed for it
EARLY_S = 0.002  # times are rounded to milliseconds

Floats = NDArray[np.float64]


def check_resampling(fps: float, how: str) -> None:
    """Raise `UsageError` unless `fps` is above 0 and at most 1000, and `how` one of `How`."""
    if not 0 < fps <= MAX_FPS:
        raise UsageError(f"resampling to {fps:g} fps is out of range: above 0, up to {MAX_FPS:g}")
    if how not in get_args(How):
        raise UsageError(f"resampling by {how} is not one of {', '.join(get_args(How))}")


def resampled(columns: dict[str, NDArray[Any]], fps: float, how: How) -> Floats:
    """The rows of a trace at the multiples of 1 / `fps` seconds, float64 (n, len(columns)), in order of time and face.
    Each face has rows from its first to its last estimate, except in gaps in which it was away; a face that is seen for
    less than 1 / `fps` has one row."""
    check_resampling(fps, how)
    parts = [np.empty((0, len(columns)))]
    for face in np.unique(columns["face"]).tolist():
        one = {name: values[columns["face"] == face] for name, values in columns.items()}
        parts += [_between(part, face, fps, how) for part in _without_gaps(one)]
    rows = np.concatenate(parts)
    return rows[np.lexsort((rows[:, COLUMNS.index("face")], rows[:, 0]))]


def _without_gaps(one: dict[str, NDArray[Any]]) -> list[dict[str, NDArray[Any]]]:
    time_s, first = np.unique(one["time_s"], return_index=True)  # rising, one estimate at a time
    cuts = np.flatnonzero(np.diff(time_s) > longest_step_s(time_s)) + 1
    return [{name: values[rows] for name, values in one.items()} for rows in np.split(first, cuts)]


def _between(one: dict[str, NDArray[Any]], face: int, fps: float, how: How) -> Floats:
    time_s: Floats = one["time_s"]
    early_s = min(EARLY_S, 0.25 / fps)
    first, last = np.ceil((time_s[0] - early_s) * fps) + 0.0, np.floor((time_s[-1] + early_s) * fps)  # no -0.0
    at_s = np.arange(first, last + 1) / fps
    if not len(at_s):
        at_s = np.round(time_s[:1] * fps) / fps
    found: dict[str, NDArray[Any]] = {"time_s": at_s, "face": np.full(len(at_s), face)}
    nearest_before = _nearest_before(time_s, at_s)
    for name in ("x", "y", "side"):
        found[name] = one[name][nearest_before] if how == "hold" else np.interp(at_s, time_s, one[name])
    expressions = [name for name in EXPRESSION_COLUMNS if name in one]
    for name in expressions:
        found[name] = _where_known(time_s, one[name], at_s, how)
    for name in ("valence", "arousal"):
        values, stds = at_times(time_s, one[name], one[f"{name}_std"], at_s, how)
        found[name], found[f"{name}_std"] = values, stds
    return np.stack([found[name] for name in (*COLUMNS, *expressions)], 1)


def _where_known(time_s: Floats, values: Floats, at_s: Floats, how: How) -> Floats:
    """Values at `at_s` (m,) from those of `values` (n,) at `time_s` (n,) that are known, not nan; nan if none is
    or, held, none is yet."""
    known = ~np.isnan(values)
    if not known.any():
        return np.full(len(at_s), np.nan)
    if how == "hold":
        held = values[known][_nearest_before(time_s[known], at_s)]
        return np.where(at_s + EARLY_S < time_s[known][0], np.nan, held)
    return np.interp(at_s, time_s[known], values[known])


def _nearest_before(time_s: Floats, at_s: Floats) -> NDArray[np.intp]:
    """The index into `time_s` (n,) of the last time up to each of `at_s` (m,); 0 before the first."""
    return np.searchsorted(time_s, at_s + EARLY_S, side="right").clip(1) - 1


def at_times(time_s: Floats, values: Floats, stds: Floats, at_s: Floats, how: How) -> tuple[Floats, Floats]:
    """Estimates, `values` (n,) with their standard deviations `stds` (n,) at increasing `time_s` (n,), at other times
    `at_s` (m,): values (m,) and standard deviations (m,), which grow with the distance from an estimate. Times are in
    seconds; outside those given the first or last value holds."""
    before = _nearest_before(time_s, at_s)
    after = np.minimum(before + 1, len(time_s) - 1)
    std = np.interp(at_s, time_s, stds)
    if how == "smooth":
        smoother = _Smoother.over(time_s, values)
        value, variance = smoother.at(at_s)
        return value, np.sqrt(std**2 + np.maximum(variance - NOISE_VARIANCE, 0))
    since_s, until_s = np.abs(at_s - time_s[before]), np.abs(time_s[after] - at_s)
    if how == "hold":
        return values[before], np.sqrt(stds[before] ** 2 + WALK_VARIANCE_PER_S * since_s)
    gap_s = np.maximum(since_s + until_s, EARLY_S)
    bridge = np.where(after > before, WALK_VARIANCE_PER_S * since_s * until_s / gap_s, WALK_VARIANCE_PER_S * since_s)
    return np.interp(at_s, time_s, values), np.sqrt(std**2 + bridge)


@dataclass(frozen=True)
class _Smoother:
    """Smoothed `mean` and `variance` (n,) of the random walk at its observations at `time_s` (n,), and the `covariance`
    (n - 1,) of each two in succession."""

    time_s: Floats
    mean: Floats
    variance: Floats
    covariance: Floats

    @classmethod
    def over(cls, time_s: Floats, values: Floats) -> "_Smoother":
        """Smooth the observations `values` at increasing `time_s`."""
        times, observed, noise = _with_silences(time_s, values)
        walk = WALK_VARIANCE_PER_S * np.diff(times)
        mean, variance = [observed[0]], [noise[0]]
        for step, value, its_noise in zip(walk, observed[1:], noise[1:], strict=True):
            expected = variance[-1] + step
            gain = expected / (expected + its_noise)
            mean.append(mean[-1] + gain * (value - mean[-1]))
            variance.append((1 - gain) * expected)
        means, variances, covariance = np.array(mean), np.array(variance), np.zeros(len(walk))
        for i in range(len(walk) - 1, -1, -1):
            gain = variances[i] / (variances[i] + walk[i])
            variances[i] += gain**2 * (variances[i + 1] - variances[i] - walk[i])
            means[i] += gain * (means[i + 1] - means[i])
            covariance[i] = gain * variances[i + 1]
        return cls(times, means, variances, covariance)

    def at(self, at_s: Floats) -> tuple[Floats, Floats]:
        """Mean and variance at other times: between two observations a random walk is a Brownian bridge."""
        if len(self.time_s) == 1:
            since_s = np.abs(at_s - self.time_s[0])
            return np.full(len(at_s), self.mean[0]), self.variance[0] + WALK_VARIANCE_PER_S * since_s
        left = (np.searchsorted(self.time_s, at_s, side="right") - 1).clip(0, len(self.time_s) - 2)
        gap_s = self.time_s[left + 1] - self.time_s[left]
        share = ((at_s - self.time_s[left]) / gap_s).clip(0, 1)
        variance = (1 - share) ** 2 * self.variance[left] + share**2 * self.variance[left + 1]
        variance += 2 * share * (1 - share) * self.covariance[left]
        variance += WALK_VARIANCE_PER_S * gap_s * share * (1 - share)
        outside_s = np.maximum(self.time_s[0] - at_s, at_s - self.time_s[-1]).clip(0)
        return np.interp(at_s, self.time_s, self.mean), variance + WALK_VARIANCE_PER_S * outside_s


def _with_silences(time_s: Floats, values: Floats) -> tuple[Floats, Floats, Floats]:
    """Observations with those that silence adds: times, values and variances of the noise."""
    gaps_s = np.diff(time_s)
    shortest_s = np.quantile(gaps_s, 0.1) if len(gaps_s) else 0.0
    silent = np.flatnonzero((gaps_s > LONG_GAP * shortest_s + EARLY_S) & (gaps_s > LONG_GAP * SILENCE_S))
    times = np.concatenate([time_s, time_s[silent + 1] - SILENCE_S])
    observed = np.concatenate([values, values[silent]])
    noise = np.concatenate([np.full(len(values), NOISE_VARIANCE), np.full(len(silent), SILENCE_VARIANCE)])
    order = np.argsort(times, kind="stable")
    return times[order], observed[order], noise[order]
