"""The networks of the features codec: a face to latents, the latents' prior, and latents to estimates and pictures.

The encoder quantizes each latent times a gain; a gain for each latent and level makes one pair of networks serve every
rate (Cui et al. 2021, Asymmetric gained deep image compression with continuous rate adaptation, CVPR). The prior of a
latent is a logistic distribution around a prediction from the same person's latents before: a first-order
autoregression whose coefficient decays with the seconds between them. It has no network, so that its integer
form (`lowbeam.codec.features.prior`) is the same on every machine.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbeam.models.one_for_all import EMOTION_CLASSES, GRID, OneForAll

LATENTS = 24
LEVELS = 16  # of quality, from fine to coarse
FINEST, COARSEST = 8.0, 0.6  # gains before training, of latents with unit deviation
HIDDEN = 128
FLOW_SIDE = 24  # of the field of motion
MOST_FLOW = 0.25  # of the face's side


class FeatureEncoder(nn.Module):
    """A grid (n, 1, 48, 48) to latents (n, LATENTS): the trunk of a recognizer, pooled, and two linear layers."""

    def __init__(self, recognizer: OneForAll) -> None:
        super().__init__()
        self.trunk, self.pool = recognizer.trunk, recognizer.pool
        self.reduce = nn.Sequential(
            nn.Linear(recognizer.width, HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, LATENTS),
            nn.BatchNorm1d(LATENTS, affine=False),
        )

    def forward(self, grid: Tensor) -> Tensor:
        """Latents of zero mean and unit deviation over the faces of training."""
        return self.reduce(self.pool(self.trunk(grid)).flatten(1).float())


class LatentPrior(nn.Module):
    """Gains, and the distribution of the quantized latents."""

    def __init__(self) -> None:
        super().__init__()
        self.level_gain = nn.Parameter(torch.linspace(math.log(FINEST), math.log(COARSEST), LEVELS))  # logarithms
        self.latent_gain = nn.Parameter(torch.zeros(LATENTS))
        self.tilt = nn.Parameter(torch.zeros(LATENTS))  # of a latent's gain over the levels
        self.mean = nn.Parameter(torch.zeros(LATENTS))
        self.log_spread = nn.Parameter(torch.zeros(LATENTS))
        self.likeness = nn.Parameter(torch.full((LATENTS,), 2.0))  # logit of the correlation at a gap of zero
        self.log_span_s = nn.Parameter(torch.full((LATENTS,), math.log(3.0)))

    def gains(self, level: Tensor) -> Tensor:
        """Gains (n, LATENTS) at `level` (n,)."""
        share = level.float()[:, None] / (LEVELS - 1) - 0.5
        return (self.level_gain[level][:, None] + self.latent_gain + self.tilt * share).exp()

    def correlation(self, gap_s: Tensor) -> Tensor:
        """With the latents `gap_s` (n,) seconds before: (n, LATENTS); zero where the gap is infinite."""
        return torch.sigmoid(self.likeness) * torch.exp(-gap_s[:, None] / self.log_span_s.exp())

    def bits(self, quantized: Tensor, before: Tensor, gap_s: Tensor, level: Tensor) -> Tensor:
        """Bits (n,) of `quantized` latents (n, LATENTS), in units of the quantizer and maybe with uniform noise, after
        those `before` (n, LATENTS)."""
        gain, rho = self.gains(level), self.correlation(gap_s)
        centre = gain * self.mean
        expected = centre + rho * (before - centre)
        spread = (gain * self.log_spread.exp()).square() * (1 - rho.square()) + (1 + rho.square()) / 12
        scale = spread.sqrt() * (math.sqrt(3) / math.pi)  # of the logistic distribution
        away = (quantized - expected).abs()
        share = torch.sigmoid((0.5 - away) / scale) - torch.sigmoid((-0.5 - away) / scale)
        return -share.clamp_min(2**-16).log2().sum(1)


class FeatureReadout(nn.Module):
    """Latents (n, LATENTS) and their level (n,) to features (n, HIDDEN), valence and arousal (n, 2), the logarithms of
    their variances (n, 2), and emotion logits (n, 8)."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(LATENTS + 1, HIDDEN), nn.GELU(), nn.Dropout(dropout), nn.Linear(HIDDEN, HIDDEN), nn.GELU()
        )
        self.readout = nn.Linear(HIDDEN, 2 + 2 + EMOTION_CLASSES)

    def forward(self, latents: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        features = self.body(torch.cat([latents, level.float()[:, None] / LEVELS], 1))
        affect, log_variance, emotion = self.readout(features).split([2, 2, EMOTION_CLASSES], dim=1)
        return features, affect, log_variance, emotion


class FaceAnimator(nn.Module):
    """Shows a face as it moves: a key face is warped by a field of motion, and corrected, as its latents and those of
    now tell (after Siarohin et al. 2019, First order motion model for image animation, arXiv 2003.00196)."""

    def __init__(self) -> None:
        super().__init__()
        self.told = nn.Sequential(nn.Linear(2 * LATENTS, 256), nn.ReLU(), nn.Linear(256, 32 * 6 * 6), nn.ReLU())
        self.grow = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(32, 16, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.flow = nn.Conv2d(16, 2, 3, padding=1)
        last_correction = nn.Conv2d(24, 1, 3, padding=1)
        self.correct = nn.Sequential(
            nn.Conv2d(1 + 16, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(), last_correction
        )
        for last in (self.flow, last_correction):  # before training, the key face is shown as it is
            nn.init.zeros_(last.weight)
            assert last.bias is not None
            nn.init.zeros_(last.bias)

    def forward(self, key: Tensor, key_latents: Tensor, latents: Tensor) -> Tensor:
        """`key` (n, 1, 48, 48), normalized, with its latents (n, LATENTS), and those of now; to (n, 1, 48, 48)."""
        told = self.grow(self.told(torch.cat([key_latents, latents - key_latents], 1)).unflatten(1, (32, 6, 6)))
        flow = MOST_FLOW * torch.tanh(self.flow(told))
        flow = F.interpolate(flow, size=(GRID, GRID), mode="bilinear", align_corners=False)
        axis = (torch.arange(GRID, device=key.device, dtype=key.dtype) + 0.5) * (2 / GRID) - 1
        place = torch.stack([axis[None, :].expand(GRID, GRID), axis[:, None].expand(GRID, GRID)])
        warped = F.grid_sample(
            key, (place + 2 * flow).permute(0, 2, 3, 1), mode="bilinear", padding_mode="border", align_corners=False
        )
        wide = F.interpolate(told, size=(GRID, GRID), mode="bilinear", align_corners=False)
        return warped + self.correct(torch.cat([warped, wide], 1))


class FeatureCodec(nn.Module):
    """All networks, as they are trained."""

    def __init__(self, recognizer: OneForAll) -> None:
        super().__init__()
        self.encoder, self.prior = FeatureEncoder(recognizer), LatentPrior()
        self.readout, self.animator = FeatureReadout(), FaceAnimator()
