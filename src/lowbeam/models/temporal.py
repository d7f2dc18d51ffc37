"""The temporal head: it corrects the estimate of a face by leaky averages of the earlier faces of the same person.

Each average decays by ``exp(-dt / tau)`` in `dt` seconds, independent of the frame rate, so that one head serves every
rate and bridges lost frames. This is a linear recurrence (a diagonal state-space model, as in Gu et al. 2022, S4D,
arXiv 2206.11893, with real, learned rates). The frames of one call are computed in closed form from the matrix of their
time differences, without a loop.
"""

import math

import torch
from torch import Tensor, nn

SPANS_S = (0.25, 1.0, 4.0, 16.0, 64.0)  # time constants in seconds, before training
CHANNELS = 32  # that are averaged
HIDDEN = 64
GLANCE_S = 0.2  # longest time for which one frame counts, where frames are rare
MAX_GAP_S = 1e3  # longer gaps count as this


class LeakyAverages(nn.Module):
    """Leaky averages of channels over past frames, each weighted by a trust: (b, t, d) to (b, t, spans, d).

    The state of a track is (b, spans, d + 1): the decayed, weighted sum of the values, and that of the weights.
    """

    def __init__(self, spans_s: tuple[float, ...] = SPANS_S) -> None:
        super().__init__()
        self.log_span = nn.Parameter(torch.tensor([math.log(span) for span in spans_s]))

    def forward(self, values: Tensor, trust: Tensor, gaps_s: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`values` (b, t, d), `trust` (b, t) in (0, 1), `gaps_s` (b, t) since the frame before, and the `state` at
        that frame. Returns the averages (b, t, spans, d), the weights in them (b, t, spans), and the state after."""
        rate = torch.exp(-self.log_span)  # (k,)
        gaps_s = gaps_s.clamp(0.0, MAX_GAP_S)
        glance = 1 - torch.exp(-gaps_s.clamp(max=GLANCE_S)[..., None] * rate)  # (b, t, k)
        clock_s = gaps_s.cumsum(1)  # (b, t), from the frame before the first
        since_s = (clock_s[:, :, None] - clock_s[:, None, :]).clamp_min(0.0)  # (b, t, t)
        past = torch.ones_like(since_s[0]).tril()
        fading = torch.exp(-since_s[..., None] * rate) * past[..., None]  # (b, t, t, k)
        weight = fading * (glance * trust[..., None])[:, None]  # of frame j in the averages at frame i
        remembered = torch.exp(-clock_s[..., None] * rate)[..., None] * state[:, None]  # (b, t, k, d + 1)
        ones = torch.ones_like(values[..., :1])
        sums = torch.einsum("bijk,bjd->bikd", weight, torch.cat([values, ones], 2)) + remembered
        total = sums[..., -1]
        return sums[..., :-1] / (total[..., None] + 1e-6), total, sums[:, -1]


class TemporalHead(nn.Module):
    """Corrects a network's single-frame outputs by the frames before."""

    def __init__(self, features: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.look = nn.Linear(features + 4, CHANNELS)
        self.trust = nn.Linear(features + 4, 1)
        self.memory = LeakyAverages()
        spans = len(SPANS_S)
        last = nn.Linear(HIDDEN, 4)
        nn.init.zeros_(last.weight)  # before training, the correction is zero
        nn.init.zeros_(last.bias)
        self.readout = nn.Sequential(
            nn.Linear((spans + 1) * CHANNELS + spans + 4, HIDDEN), nn.GELU(), nn.Dropout(dropout), last
        )

    @property
    def state_shape(self) -> tuple[int, int]:
        """(spans, channels + 1)."""
        return len(SPANS_S), CHANNELS + 1

    def forward(self, features: Tensor, single: Tensor, gaps_s: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`features` (b, t, f) of each frame, its single-frame outputs `single` (b, t, 4), affect and log variances;
        `gaps_s` (b, t), seconds since the frame before; `state` (b, spans, channels + 1), zeros at a track's start.
        Returns affect (b, t, 2), its log variances (b, t, 2), and the state after the last frame."""
        seen = torch.cat([self.dropout(features), single], 2)
        now = torch.tanh(self.look(seen))
        trust = torch.sigmoid(self.trust(seen))[..., 0]
        averages, weights, state = self.memory(now, trust, gaps_s, state)
        known = torch.log1p(100 * weights)
        correction = self.readout(torch.cat([now, averages.flatten(2), known, single], 2))
        affect, log_variance = (single + correction).split([2, 2], dim=2)
        return affect, log_variance, state
