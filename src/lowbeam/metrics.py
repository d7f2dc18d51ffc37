"""Agreement of estimates with labels. Arrays are float (n,); each metric is a float."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

AFFECT_NAMES = ("valence", "arousal")  # in the order of the columns of every affect array (n, 2)


def rmse(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Root mean squared error."""
    return float(np.sqrt(np.mean(np.square(np.subtract(predicted, truth, dtype=np.float64)))))


def cc(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Pearson's correlation coefficient, in [-1, 1]; NaN if either array is constant."""
    p, t = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    spread = p.std() * t.std()
    return float(np.mean((p - p.mean()) * (t - t.mean())) / spread) if spread > 0 else float("nan")


def ccc(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Concordance correlation coefficient (Lin 1989, Biometrics 45(1)) with population variances, in [-1, 1]: 0 if one
    array is constant, NaN if both are constant and equal."""
    p, t = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    covariance = np.mean((p - p.mean()) * (t - t.mean()))
    spread = p.var() + t.var() + (p.mean() - t.mean()) ** 2
    return float(2 * covariance / spread) if spread > 0 else float("nan")


def coverage(predicted: ArrayLike, std: ArrayLike, truth: ArrayLike, deviations: float) -> float:
    """Share of labels within `deviations` standard deviations of the estimate, in [0, 1]."""
    error = np.abs(np.subtract(predicted, truth, dtype=np.float64))
    return float(np.mean(error <= deviations * np.asarray(std, np.float64)))


def surest(std: ArrayLike, share: float) -> NDArray[np.bool_]:
    """Mask, bool (n,), of the `share` (in [0, 1]) of n estimates with the smallest standard deviations `std` (n,)."""
    order = np.argsort(np.asarray(std), kind="stable")
    chosen = np.zeros(len(order), bool)
    chosen[order[: round(share * len(order))]] = True
    return chosen
