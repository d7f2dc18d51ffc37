"""Training an embedding in which two samples of one person lie close together: the supervised contrastive loss
(Khosla et al. 2020, Supervised Contrastive Learning, NeurIPS) over batches of two samples of each of many people."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowbeam.train.losses import supervised_contrastive
from research.compact.people import Ints

PEOPLE = 64  # in a batch
CHECKS = 8  # of the network during training, of which the best is kept

Sampler = Callable[[Ints, np.random.Generator], Tensor]  # rows (n,) to inputs (n, ...), augmented


def batches(person: Ints, steps: int, rng: np.random.Generator) -> Iterator[Ints]:
    """Rows (2 × people,) of `steps` batches: two samples of each of `PEOPLE` people, drawn without replacement. Who has
    only one sample has it twice, augmented differently. Half of a batch's people have several samples, if there are as
    many."""
    rows_of = [np.flatnonzero(person == one) for one in np.unique(person)]
    several = [rows for rows in rows_of if len(rows) > 1]
    for _ in range(steps):
        many = rng.choice(len(several), min(len(several), PEOPLE // 2), replace=False)
        some = rng.choice(len(rows_of), min(len(rows_of), PEOPLE - len(many)), replace=False)
        chosen = [several[i] for i in many] + [rows_of[i] for i in some]
        first = {int(rows[0]): rows for rows in chosen}  # each person once
        yield np.concatenate([rng.choice(rows, 2, replace=len(rows) == 1) for rows in first.values()])


def train_embedding(
    network: nn.Module, person: Ints, sample: Sampler, checked: Callable[[], float], *, steps: int, rate: float,
    weight_decay: float, rng: np.random.Generator,
) -> float:  # fmt: skip
    """Train `network` to embed the samples of `person` (n,), drawn by `sample`, and keep its weights at the best of
    several values of `checked()`, which is returned. AdamW with a one-cycle learning rate up to `rate`."""
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
    best, kept = -np.inf, {}
    for step, rows in enumerate(batches(person, steps, rng), 1):
        network.train()
        embedded = F.normalize(network(sample(rows, rng)))
        loss = supervised_contrastive(embedded, torch.from_numpy(person[rows]))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % max(steps // CHECKS, 1) == 0 or step == steps:
            network.eval()
            if (value := checked()) > best:
                best, kept = value, {name: weights.clone() for name, weights in network.state_dict().items()}
    network.load_state_dict(kept)
    network.eval()
    return best
