"""One training run: batches of faces, a loss, and rates that are divided by ten when validation stops improving."""

import csv
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from lowbeam.errors import UsageError
from lowbeam.train.paper.recipe import Training

Loss = Callable[[Tensor], Tensor]  # indices of a batch's faces to their loss
LOG_COLUMNS = ("epoch", "train_loss", "valid_loss", "learning_rate", "seconds")


class OutOfTime(Exception):  # noqa: N818  (not an error: what was trained is kept)
    """The time budget is spent; the run goes on from its last epoch when it is started again."""


@dataclass(frozen=True)
class Deadline:
    """When to stop, by `time.monotonic`."""

    at_s: float = math.inf

    def check(self) -> None:
        """Raise `OutOfTime` when it has passed."""
        if time.monotonic() >= self.at_s:
            raise OutOfTime


def make_optimizer(training: Training, groups: list[tuple[list[nn.Parameter], float]]) -> torch.optim.Optimizer:
    """The recipe's optimizer. Each group of parameters is trained at a share of the learning rate of its own."""
    settings = [{"params": parameters, "lr": training.learning_rate * share} for parameters, share in groups]
    if training.optimizer == "adam":
        return torch.optim.AdamW(settings, weight_decay=training.weight_decay)
    return torch.optim.SGD(settings, momentum=training.momentum, weight_decay=training.weight_decay)


class RateSchedule:
    """Divides the rates by ten after `patience` epochs without a better valid loss, and at the latest where
    `divide_at` says; training has ended when it would divide once more than `divisions` times."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self.best_loss = math.inf
        self._waited, self._divided = 0, 0

    def step(self, epoch: int, loss: float, optimizer: torch.optim.Optimizer) -> bool:
        """Take note of the valid `loss` after `epoch` (from 1); True where training has ended."""
        better = loss < self.best_loss
        self.best_loss = min(self.best_loss, loss)
        self._waited = 0 if better else self._waited + 1
        share = epoch / self._training.epochs
        late = sum(share >= at for at in self._training.divide_at) > self._divided
        if self._waited > self._training.patience or late:
            if self._divided == self._training.divisions:
                return True
            self._divided, self._waited = self._divided + 1, 0
            for group in optimizer.param_groups:
                group["lr"] /= 10
        return epoch >= self._training.epochs


def fit(
    network: nn.Module, optimizer: torch.optim.Optimizer, training: Training, folder: Path, *, faces: int,
    train_loss: Loss, valid_loss: Callable[[], float], generator: torch.Generator, deadline: Deadline,
) -> dict[str, float]:  # fmt: skip
    """Train `network` and leave it with the weights of the best valid loss. `generator` draws the order of the faces.

    After each epoch all is saved to ``folder/last.pt``, from which a stopped run goes on, and a line is added to
    ``folder/log.csv``. Returns what it took. Raises `OutOfTime`.
    """
    schedule, best = RateSchedule(training), {}
    epoch, ended, seconds = 0, False, 0.0
    last = folder / "last.pt"
    if last.exists():
        state = torch.load(last, weights_only=False, map_location="cpu")
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        torch.set_rng_state(state["dropout"])
        if torch.cuda.is_available() and state["dropout_cuda"] is not None:
            torch.cuda.set_rng_state(state["dropout_cuda"])
        schedule, best = state["schedule"], state["best"]
        epoch, ended, seconds = state["epoch"], state["ended"], state["seconds"]
    while not ended:
        deadline.check()
        started, epoch, losses = time.monotonic(), epoch + 1, []
        network.train()
        for batch in torch.randperm(faces, generator=generator).split(training.batch):
            loss = train_loss(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach() * len(batch))  # on the device: to look at each would wait for it
        network.eval()
        with torch.no_grad():
            valid = valid_loss()
        total = float(torch.stack(losses).sum())
        if not math.isfinite(total) or not math.isfinite(valid):
            raise UsageError(f"{folder.name}: the loss is no number any more; lower the learning rate")
        rate = optimizer.param_groups[0]["lr"]
        if valid < schedule.best_loss:
            best = {name: value.detach().clone() for name, value in network.state_dict().items()}
        ended = schedule.step(epoch, valid, optimizer)
        seconds += time.monotonic() - started
        _log(folder / "log.csv", (epoch, total / faces, valid, rate, seconds))
        state = {
            "network": network.state_dict(), "optimizer": optimizer.state_dict(), "schedule": schedule, "best": best,
            "generator": generator.get_state(), "dropout": torch.get_rng_state(),
            "dropout_cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
            "epoch": epoch, "ended": ended, "seconds": seconds,
        }  # fmt: skip
        torch.save(state, last.with_suffix(".tmp"))
        last.with_suffix(".tmp").replace(last)
    network.load_state_dict(best)
    network.eval()
    return {
        "epochs": epoch,
        "faces_seen": epoch * faces,
        "train_s": round(seconds, 1),
        "valid_loss": schedule.best_loss,
    }


def _log(path: Path, values: tuple[float, ...]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(LOG_COLUMNS)
        writer.writerow([f"{value:.6g}" for value in values])
