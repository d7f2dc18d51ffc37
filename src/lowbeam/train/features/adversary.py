"""An adversary of the latents: it learns to tell whether two faces are of one person, and the encoder learns that it
cannot (after Ganin et al. 2016, Domain-adversarial training of neural networks, JMLR 17).

It is no part of what is exported. A resumed run begins with a new one, which is up to date within a minute.
"""

from collections import deque

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbeam.models.feature_codec import LATENTS
from lowbeam.train.losses import supervised_contrastive

WIDTH, EMBEDDING = 256, 64
RATE, DECAY = 2e-3, 1e-2
STEPS = 3  # for each step of the encoder
REMEMBERED = 20  # batches of latents


def adversary_network(count: int) -> nn.Sequential:
    """A network that embeds `count` latents, (n, count), as (n, EMBEDDING)."""
    return nn.Sequential(
        nn.Linear(count, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH),
        nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Linear(WIDTH, EMBEDDING),
    )  # fmt: skip


class IdentityAdversary:
    """A network that embeds latents so that those of one person lie together, trained on what it has seen lately."""

    def __init__(self) -> None:
        self._network = adversary_network(LATENTS)
        self._optimizer = torch.optim.AdamW(self._network.parameters(), RATE, weight_decay=DECAY)
        self._seen: deque[tuple[Tensor, Tensor]] = deque(maxlen=REMEMBERED)

    def learn(self, latents: Tensor, person: Tensor) -> None:
        """Learn from latents (n, LATENTS) of each `person` (n,), and from earlier ones."""
        self._seen.append((latents.detach(), person))
        known, people = (torch.cat(parts) for parts in zip(*self._seen, strict=True))
        for _ in range(STEPS):
            loss = supervised_contrastive(F.normalize(self._network(known)), people)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()

    def loss(self, latents: Tensor, person: Tensor) -> Tensor:
        """How badly it tells who is who in the latents (n, LATENTS) of each `person` (n,), among those that it has seen
        lately. Its weights get no gradients."""
        known, people = (torch.cat(parts) for parts in zip(*self._seen, strict=True))
        self._network.requires_grad_(False)
        embedded = F.normalize(self._network(torch.cat([latents, known])))
        self._network.requires_grad_(True)
        return supervised_contrastive(embedded, torch.cat([person, people]), len(latents))
