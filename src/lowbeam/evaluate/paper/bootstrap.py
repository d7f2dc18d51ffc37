"""How sure a figure is: test recordings and seeds, drawn again and again (Efron & Tibshirani 1993, ch. 6 and 13)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REPLICATES = 2000
LEVEL = 0.95  # of the intervals
METRICS = ("rmse", "cc", "ccc")


@dataclass(frozen=True)
class Resampling:
    """The same draws for every system, so that differences are of pairs. `weights` float32 (b, n): how often each test
    face is drawn; `seeds` (b, k): which seeds are."""

    weights: NDArray[np.float32]
    seeds: NDArray[np.int64]


def resampling(recording: NDArray[np.int32], seeds: int, replicates: int = REPLICATES) -> Resampling:
    """Draw whole recordings with replacement, since the frames of one are alike (a still is its own), and seeds. The
    first replicate is the data as they are."""
    generator = np.random.default_rng(0)
    _, number = np.unique(recording, return_inverse=True)
    count = int(number.max()) + 1
    drawn = np.stack([np.bincount(generator.integers(0, count, count), minlength=count) for _ in range(replicates)])
    chosen = generator.integers(0, seeds, (replicates, seeds))
    drawn[0], chosen[0] = 1, np.arange(seeds)
    return Resampling(drawn[:, number].astype(np.float32), chosen)


def replicate(predicted: NDArray, truth: NDArray, weights: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """RMSE, CC and CCC, each (b,), of `predicted` and `truth` (n,) under each row of `weights` (b, n)."""
    p, t = predicted.astype(np.float64), truth.astype(np.float64)
    sums = weights.astype(np.float64) @ np.stack([np.ones_like(p), p, t, p * p, t * t, p * t], 1)
    mean_p, mean_t, pp, tt, pt = (sums[:, i] / sums[:, 0] for i in range(1, 6))
    var_p, var_t, covariance = pp - mean_p**2, tt - mean_t**2, pt - mean_p * mean_t
    with np.errstate(divide="ignore", invalid="ignore"):
        cc = covariance / np.sqrt(var_p * var_t)
    return {
        "rmse": np.sqrt(np.maximum(pp - 2 * pt + tt, 0)),
        "cc": cc,
        "ccc": 2 * covariance / (var_p + var_t + (mean_p - mean_t) ** 2),
    }


def over_seeds(replicates: NDArray[np.float64], seeds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean over the drawn `seeds` (b, k) of `replicates` (k, b): (b,)."""
    return np.take_along_axis(replicates.T, seeds, axis=1).mean(axis=1)


def interval(replicates: NDArray[np.float64]) -> tuple[float, float, float]:
    """The value of the data as they are, and the ends of its percentile interval."""
    low, high = np.nanquantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(replicates[0]), float(low), float(high)


def reliability(replicates: NDArray[np.float64]) -> NDArray[np.float64]:
    """How well a metric tells systems apart from seeds: the intraclass correlation ICC(1) (Shrout & Fleiss 1979) of
    `replicates` (systems, seeds, b), for each replicate (b,). 1: the seed does not matter; 0: nothing but it does."""
    systems, seeds, _ = replicates.shape
    means = replicates.mean(axis=1)
    between = seeds * means.var(axis=0, ddof=1)
    within = ((replicates - means[:, None]) ** 2).sum(axis=(0, 1)) / (systems * (seeds - 1))
    return (between - within) / (between + (seeds - 1) * within)
