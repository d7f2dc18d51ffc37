"""A head that remembers: what it has seen of a face lately, over several spans of time, beside what it sees now.

Each span is a leaky average: its memory fades by ``exp(-dt / tau)`` in `dt` seconds, whatever the frame rate, so that
one head serves every rate and lives through lost frames. That is a linear recurrence (a diagonal state-space model, as
in Gu et al. 2022, S4D, arXiv 2206.11893, with real, learned rates); the part of a run that is known at once is computed
in closed form, by a matrix of the differences in time, so that nothing in it loops.
"""

import math

import torch
from torch import Tensor, nn

SPANS_S = (0.25, 1.0, 4.0, 16.0, 64.0)  # seconds to forget all but 1/e, before training
CHANNELS = 32  # remembered
HIDDEN = 64
GLANCE_S = 0.2  # what one frame counts for at most, when frames are rare: a look, not a stare
MAX_GAP_S = 1e3  # longer gaps forget no more


class LeakyAverages(nn.Module):
    """Averages of channels over the past, with a trust in each frame: (b, t, d) to (b, t, spans, d).

    The state of a run is (b, spans, d + 1): the sum of what was seen, weighed by trust and faded, and of the weights.
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
        weight = fading * (glance * trust[..., None])[:, None]  # of frame j in the memory at frame i
        remembered = torch.exp(-clock_s[..., None] * rate)[..., None] * state[:, None]  # (b, t, k, d + 1)
        ones = torch.ones_like(values[..., :1])
        sums = torch.einsum("bijk,bjd->bikd", weight, torch.cat([values, ones], 2)) + remembered
        total = sums[..., -1]
        return sums[..., :-1] / (total[..., None] + 1e-6), total, sums[:, -1]


class TemporalHead(nn.Module):
    """What a network reads of each frame, put right by what came before."""

    def __init__(self, features: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.look = nn.Linear(features + 4, CHANNELS)
        self.trust = nn.Linear(features + 4, 1)
        self.memory = LeakyAverages()
        spans = len(SPANS_S)
        last = nn.Linear(HIDDEN, 4)
        nn.init.zeros_(last.weight)  # before training it reads what the network reads
        nn.init.zeros_(last.bias)
        self.readout = nn.Sequential(
            nn.Linear((spans + 1) * CHANNELS + spans + 4, HIDDEN), nn.GELU(), nn.Dropout(dropout), last
        )

    @property
    def state_shape(self) -> tuple[int, int]:
        """(spans, channels + 1)."""
        return len(SPANS_S), CHANNELS + 1

    def forward(self, features: Tensor, still: Tensor, gaps_s: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`features` (b, t, f) of each frame and what was read of it alone, `still` (b, t, 4): affect, and the
        logarithms of its variance; `gaps_s` (b, t); `state` (b, spans, channels + 1), zeros where nothing was seen.
        Returns affect (b, t, 2), the logarithms of its variance (b, t, 2), and the state after."""
        seen = torch.cat([self.dropout(features), still], 2)
        now = torch.tanh(self.look(seen))
        trust = torch.sigmoid(self.trust(seen))[..., 0]
        averages, weights, state = self.memory(now, trust, gaps_s, state)
        known = torch.log1p(100 * weights)
        put_right = self.readout(torch.cat([now, averages.flatten(2), known, still], 2))
        affect, log_variance = (still + put_right).split([2, 2], dim=2)
        return affect, log_variance, state
