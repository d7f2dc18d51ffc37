"""Losses over a batch of affect, (n, 2): valence and arousal."""

import torch
from torch import Tensor


def ccc_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """1 - CCC (Lin 1989, A concordance correlation coefficient), averaged over the columns of (n, 2)."""
    mean_p, mean_t = predicted.mean(0), truth.mean(0)
    covariance = ((predicted - mean_p) * (truth - mean_t)).mean(0)
    spread = predicted.var(0, unbiased=False) + truth.var(0, unbiased=False) + (mean_p - mean_t).square()
    return (1 - 2 * covariance / spread.clamp_min(1e-6)).mean()


def gaussian_nll(predicted: Tensor, log_variance: Tensor, truth: Tensor) -> Tensor:
    """Negative log likelihood of `truth` with the mean detached, so that only the variance is fitted and a large
    variance cannot lower the weight of an error (Stirn et al. 2023, Faithful heteroscedastic regression)."""
    log_variance = log_variance.clamp(-8, 4)
    error = (truth - predicted.detach()).square()
    return 0.5 * (log_variance + error * torch.exp(-log_variance)).mean()
