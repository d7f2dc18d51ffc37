"""The training loop: every stage of every recipe is a `Task`, and `fit` trains it.

A stage is trained in rounds. After each, it is validated, a line is added to ``log.csv``, and all is saved to
``last.pt``, from which a stopped stage resumes.
"""

import csv
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lowbeam.errors import UsageError
from lowbeam.files import make_folder, whole_file
from lowbeam.train.checkpoint import LAST, UNREADABLE, load_checkpoint, save_checkpoint
from lowbeam.train.schedule import Schedule

LOG = "log.csv"
Batch = TypeVar("Batch", bound=Sized)


class OutOfTime(Exception):  # noqa: N818  (not an error: what was trained is saved)
    """The time budget is spent; the stage resumes from its last round when it is started again."""


@dataclass(frozen=True)
class Deadline:
    """When to stop, by `time.monotonic`."""

    at_s: float = math.inf

    def check(self) -> None:
        """Raise `OutOfTime` when it has passed."""
        if time.monotonic() >= self.at_s:
            raise OutOfTime


class Task(ABC, Generic[Batch]):
    """What one stage trains: the `network` that it is for, within `trained`, all that has weights; from batches to
    losses; and the random generator that it draws with, if it has one of its own."""

    loss_names: tuple[str, ...]

    def __init__(
        self, network: nn.Module, trained: nn.Module | None = None, rng: np.random.Generator | None = None
    ) -> None:
        self.network = network
        self.trained = trained if trained is not None else network
        self.rng = rng

    @abstractmethod
    def batches(self) -> Iterable[Batch]:
        """The batches of a round, or endlessly many where the schedule counts steps."""

    @abstractmethod
    def losses(self, batch: Batch) -> Tensor:
        """Each of `loss_names` times its weight, (k,): the mean over `batch`. Their sum is minimized."""

    def valid_loss(self, network: Any) -> float | None:
        """The loss of `network`, which is `self.network` or a moving average of it, on the validation split, in
        evaluation mode and without gradients; None where it is not measured."""
        return None

    def random_state(self) -> Any:
        """State of the task's own random generator, of plain values and tensors."""
        return None if self.rng is None else self.rng.bit_generator.state

    def set_random_state(self, state: Any) -> None:
        """Continue from a state of `random_state`."""
        if self.rng is not None:
            self.rng.bit_generator.state = state


@dataclass(frozen=True)
class Fitted:
    """What training took: rounds, steps, seconds; and the best validation loss, and that of the start, nan where they
    were not measured."""

    rounds: int
    steps: int
    seconds: float
    valid_loss: float
    start_loss: float


class _Progress:
    """The state of a stage, all of which ``last.pt`` holds."""

    def __init__(
        self, task: Task[Any], optimizer: Optimizer, schedule: Schedule, average: AveragedModel | None
    ) -> None:
        self.task, self.optimizer, self.schedule, self.average = task, optimizer, schedule, average
        self.rounds, self.steps, self.seconds = 0, 0, 0.0
        self.log: list[dict[str, float]] = []
        self.start_loss, self.best_loss, self.best = math.nan, math.inf, dict[str, Tensor]()

    @torch.no_grad()
    def validate(self) -> float | None:
        """The validation loss of the moving average, or of the network where there is none; notes the best weights."""
        self.task.trained.eval()
        network = self.task.network if self.average is None else self.average.module.eval()
        loss = self.task.valid_loss(network)
        if loss is not None and loss < self.best_loss:
            self.best_loss = loss
            self.best = {name: value.detach().clone() for name, value in network.state_dict().items()}
        return loss

    def save(self, path: Path, about: dict[str, Any]) -> None:
        save_checkpoint(
            path, about=about, log=self.log, rounds=self.rounds, steps=self.steps, seconds=self.seconds,
            start_loss=self.start_loss, best_loss=self.best_loss, best=self.best,
            trained=self.task.trained.state_dict(), optimizer=self.optimizer.state_dict(),
            schedule=self.schedule.state_dict(), average=self.average.state_dict() if self.average else None,
            random={
                "task": self.task.random_state(), "torch": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            },
        )  # fmt: skip

    def load(self, path: Path, about: dict[str, Any]) -> None:
        try:
            self._restore(load_checkpoint(path), path, about)
        except UsageError:
            raise
        except UNREADABLE as error:
            raise UsageError(f"{path} is damaged or from another version; delete it to train anew") from error

    def _restore(self, state: dict[str, Any], path: Path, about: dict[str, Any]) -> None:
        if state["about"] != about:
            raise UsageError(
                f"{path.parent} holds a run with another recipe, start, teacher or corpus; name another folder"
            )
        self.task.trained.load_state_dict(state["trained"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.task.set_random_state(state["random"]["task"])
        torch.set_rng_state(state["random"]["torch"])
        if len(state["random"]["cuda"]) == torch.cuda.device_count() > 0:
            torch.cuda.set_rng_state_all(state["random"]["cuda"])
        for name in ("log", "rounds", "steps", "seconds", "start_loss", "best_loss", "best"):
            setattr(self, name, state[name])


def fit(
    task: Task[Any], optimizer: Optimizer, schedule: Schedule, folder: Path, *, about: dict[str, Any] | None = None,
    average_decay: float | None = None, max_gradient_norm: float | None = None, start_competes: bool = False,
    keep_best: bool = True, deadline: Deadline | None = None,
) -> Fitted:  # fmt: skip
    """Train until the schedule ends, and leave `task.network` in evaluation mode with the last weights or, with
    `average_decay`, with their exponential moving average; with `keep_best` and where the task has a validation loss,
    with those of the round that has the lowest. With `start_competes`, the weights before training are one of the
    candidates.

    `about` describes the run with plain values: a `folder` with a run of another description is refused. Raises
    `UsageError` for that, for a damaged checkpoint and where the loss diverges; `OutOfTime` after the `deadline`.
    """
    about, deadline = about or {}, deadline or Deadline()
    last = make_folder(folder) / LAST
    average = None
    if average_decay is not None:
        average = AveragedModel(task.network, multi_avg_fn=get_ema_multi_avg_fn(average_decay), use_buffers=True)
    progress = _Progress(task, optimizer, schedule, average)
    if last.exists():
        progress.load(last, about)
    elif start_competes and (start_loss := progress.validate()) is not None:
        progress.start_loss = start_loss
    while not schedule.ended:
        deadline.check()
        started = time.monotonic()
        train_losses = _train_round(progress, max_gradient_norm)
        valid = progress.validate()
        if not all(map(math.isfinite, [*train_losses, valid or 0.0])):
            raise UsageError(
                f"{folder.name}: the loss is not finite any more; lower the learning rate, and name another folder"
            )
        learning_rate = optimizer.param_groups[0]["lr"]
        progress.rounds += 1
        schedule.after_round(progress.rounds, valid)
        progress.seconds += time.monotonic() - started
        progress.log.append({
            "round": progress.rounds, "step": progress.steps, **dict(zip(task.loss_names, train_losses, strict=True)),
            **({} if valid is None else {"valid_loss": valid}), "learning_rate": learning_rate,
            "seconds": progress.seconds,
        })  # fmt: skip
        progress.save(last, about)
        _write_log(folder / LOG, progress.log)
    if progress.best and keep_best:
        task.network.load_state_dict(progress.best)
    elif average is not None:
        task.network.load_state_dict(average.module.state_dict())
    task.trained.eval()
    best_loss = progress.best_loss if progress.best else math.nan
    return Fitted(progress.rounds, progress.steps, progress.seconds, best_loss, progress.start_loss)


def _train_round(progress: _Progress, max_gradient_norm: float | None) -> list[float]:
    """Returns each loss, the mean over what was trained on."""
    task, optimizer = progress.task, progress.optimizer
    task.trained.train()
    sums, count = torch.zeros(len(task.loss_names)), 0
    for batch in islice(task.batches(), progress.schedule.steps_of_round()):
        losses = task.losses(batch)
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        if max_gradient_norm is not None:
            nn.utils.clip_grad_norm_(task.trained.parameters(), max_gradient_norm)
        optimizer.step()
        progress.schedule.after_step()
        if progress.average is not None:
            progress.average.update_parameters(task.network)
        sums = sums.to(losses.device) + losses.detach() * len(batch)  # stays on the device: reading it would wait
        count += len(batch)
        progress.steps += 1
    return (sums / max(count, 1)).tolist()


def _write_log(path: Path, rows: list[dict[str, float]]) -> None:
    with whole_file(path) as beside, beside.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0])
        writer.writerows([f"{value:.6g}" for value in row.values()] for row in rows)
