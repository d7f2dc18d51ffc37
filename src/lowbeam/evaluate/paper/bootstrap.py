"""Confidence intervals: the bootstrap over test recordings (Efron & Tibshirani 1993, ch. 6 and 13), and the variance
between seeds under Student's t, because three seeds are too few for a bootstrap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REPLICATES = 4000
LEVEL = 0.95  # of the intervals
METRICS = ("rmse", "cc", "ccc")

Replicates = NDArray[np.float64]  # (b,), the first of the data as they are


@dataclass(frozen=True)
class Resampling:
    """Bootstrap draws, the same for every system, so that differences are paired. `recording` (n,) is the number of the
    recording of each face, from 0; `counts` (b, recordings) is how often each recording is drawn."""

    recording: NDArray[np.int64]
    counts: NDArray[np.float64]


def resampling(recording: NDArray[np.int32], replicates: int = REPLICATES) -> Resampling:
    """Draw whole recordings with replacement, because the frames of a recording are correlated; a still is a recording
    of its own. The first draw is the original data."""
    generator = np.random.default_rng(0)
    _, number = np.unique(recording, return_inverse=True)
    count = int(number.max()) + 1
    counts = np.stack([np.bincount(generator.integers(0, count, count), minlength=count) for _ in range(replicates)])
    counts[0] = 1
    return Resampling(number, counts.astype(np.float64))


def replicate(predicted: NDArray, truth: NDArray, draws: Resampling) -> dict[str, Replicates]:
    """RMSE, CC and CCC of `predicted` and `truth` (n,) in every draw. CC is nan if one of the two is constant."""
    p, t = predicted.astype(np.float64), truth.astype(np.float64)
    moments = (np.ones_like(p), p, t, p * p, t * t, p * t)
    recordings = draws.counts.shape[1]
    sums = draws.counts @ np.stack([np.bincount(draws.recording, m, recordings) for m in moments], 1)
    mean_p, mean_t, pp, tt, pt = (sums[:, i] / sums[:, 0] for i in range(1, 6))
    var_p, var_t, covariance = pp - mean_p**2, tt - mean_t**2, pt - mean_p * mean_t
    with np.errstate(divide="ignore", invalid="ignore"):
        cc = np.where(np.minimum(var_p, var_t) > 1e-12, covariance / np.sqrt(var_p * var_t), np.nan)
    return {
        "rmse": np.sqrt(np.maximum(pp - 2 * pt + tt, 0)),
        "cc": cc,
        "ccc": 2 * covariance / (var_p + var_t + (mean_p - mean_t) ** 2),
    }


def means_over_seeds(alike: list[NDArray[np.float64]]) -> list[Replicates]:
    """The mean over seeds of each of several `alike` contrasts, (seeds, b), with noise for the choice of seeds:
    Student's t, with the variance between seeds pooled over the contrasts, because three seeds estimate it poorly. With
    one seed no noise is added, and the interval applies to these networks only."""
    seeds, replicates = alike[0].shape
    if seeds == 1:
        return [by_seed[0] for by_seed in alike]
    error = np.sqrt(np.mean([by_seed[:, 0].var(ddof=1) for by_seed in alike]) / seeds)
    noise = error * np.random.default_rng(2).standard_t(len(alike) * (seeds - 1), replicates)
    noise[0] = 0
    return [by_seed.mean(axis=0) + noise for by_seed in alike]


def interval(replicates: Replicates, contrasts: int = 1) -> tuple[float, float, float]:
    """The value for the original data, and the ends of its percentile interval; with several `contrasts`, the interval
    is simultaneous (Bonferroni)."""
    outside = (1 - LEVEL) / contrasts
    low, high = np.quantile(replicates, [outside / 2, 1 - outside / 2])
    return float(replicates[0]), float(low), float(high)


def reliability(by_seed: NDArray[np.float64]) -> NDArray[np.float64]:
    """The intraclass correlation ICC(1) (Shrout & Fleiss 1979) of a metric `by_seed` (systems, seeds, b); returns (b,).
    It is 1 if the metric depends only on the system, and 0 if it depends only on the seed."""
    systems, seeds = by_seed.shape[:2]
    means = by_seed.mean(axis=1)
    between = seeds * means.var(axis=0, ddof=1)
    within = ((by_seed - means[:, None]) ** 2).sum(axis=(0, 1)) / (systems * (seeds - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return (between - within) / (between + (seeds - 1) * within)


def resampled_reliability(by_seed: NDArray[np.float64]) -> Replicates:
    """`reliability` with the systems, each with its seeds, resampled in every draw, which includes the noise of
    seeds."""
    systems, _, replicates = by_seed.shape
    chosen = np.random.default_rng(1).integers(0, systems, (systems, replicates))
    chosen[:, 0] = np.arange(systems)
    return reliability(by_seed[chosen, :, np.arange(replicates)].transpose(0, 2, 1))
