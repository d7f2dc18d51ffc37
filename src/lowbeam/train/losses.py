"""Losses over a batch: of affect, (n, 2), valence and arousal, and of who is who."""

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.1  # of the contrastive loss


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


def supervised_contrastive(embedded: Tensor, person: Tensor, first: int | None = None) -> Tensor:
    """The loss of unit vectors `embedded` (n, k) of people `person` (n,), over the `first` of them (default: all) that
    have another of the same person (Khosla et al. 2020, Supervised contrastive learning, NeurIPS)."""
    wanted = len(person) if first is None else first
    itself = torch.eye(len(person), dtype=torch.bool)[:wanted]
    logits = (embedded[:wanted] @ embedded.T / TEMPERATURE).masked_fill(itself, -torch.inf)
    positive = (person[:wanted, None] == person[None]) & ~itself
    shares = F.log_softmax(logits, 1).masked_fill(~positive, 0)
    count = positive.sum(1)
    return -(shares.sum(1) / count.clamp_min(1))[count > 0].sum() / (count > 0).sum().clamp_min(1)
