"""Learning-rate schedules, and when training ends. A round is the stretch between two validations and checkpoints."""

import math
from typing import Any, Protocol

import torch
from torch.optim import Optimizer

ROUND_STEPS, ROUNDS = 200, 10  # a round of a run measured in steps: at most so many, and so many rounds at least


class Schedule(Protocol):
    """Sets the learning rate after each step and each round, and tells when training has ended."""

    @property
    def ended(self) -> bool:
        """Whether training has ended."""

    def steps_of_round(self) -> int | None:
        """Number of steps of the next round; None for an epoch, which is as long as the data."""

    def after_step(self) -> None:
        """Take note of an optimizer step."""

    def after_round(self, round_: int, valid_loss: float | None) -> None:
        """Take note of the end of a round, counted from 1, and its validation loss."""

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` restores."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state of `state_dict`."""


class OneCycle:
    """One cycle of the learning rate over a fixed number of steps (Smith & Topin 2018, arXiv 1708.07120).

    The highest learning rate of each group of parameters is the one that the optimizer has for it.
    """

    def __init__(self, optimizer: Optimizer, steps: int) -> None:
        peaks = [group["lr"] for group in optimizer.param_groups]
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=steps + 1)
        self._steps, self._round_steps, self._done = steps, min(ROUND_STEPS, math.ceil(steps / ROUNDS)), 0

    @property
    def ended(self) -> bool:
        """Whether all steps are done."""
        return self._done >= self._steps

    def steps_of_round(self) -> int:
        """As in `Schedule`."""
        return min(self._round_steps, self._steps - self._done)

    def after_step(self) -> None:
        """As in `Schedule`."""
        self._schedule.step()
        self._done += 1

    def after_round(self, round_: int, valid_loss: float | None) -> None:
        """As in `Schedule`: nothing depends on it."""

    def state_dict(self) -> dict[str, Any]:
        """As in `Schedule`."""
        return {"done": self._done, "schedule": self._schedule.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As in `Schedule`."""
        self._done = state["done"]
        self._schedule.load_state_dict(state["schedule"])


class DivideOnPlateau:
    """Divides the learning rates by ten after `patience` epochs without a better validation loss, and at the latest
    after the shares `divide_at` of `epochs`. Training ends where it would divide once more than `divisions` times, and
    after `epochs`. A round is an epoch.
    """

    def __init__(
        self, optimizer: Optimizer, epochs: int, patience: int, divisions: int, divide_at: tuple[float, ...] = ()
    ) -> None:
        self._optimizer = optimizer
        self._epochs, self._patience, self._divisions, self._divide_at = epochs, patience, divisions, divide_at
        self._best, self._waited, self._divided = math.inf, 0, 0
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether training has ended."""
        return self._ended

    def steps_of_round(self) -> None:
        """As in `Schedule`: an epoch."""

    def after_step(self) -> None:
        """As in `Schedule`: nothing depends on it."""

    def after_round(self, round_: int, valid_loss: float | None) -> None:
        """As in `Schedule`; `valid_loss` is required."""
        assert valid_loss is not None
        self._waited = 0 if valid_loss < self._best else self._waited + 1
        self._best = min(self._best, valid_loss)
        share = round_ / self._epochs
        late = sum(share >= at for at in self._divide_at) > self._divided
        if self._waited > self._patience or late:
            if self._divided == self._divisions:
                self._ended = True
                return
            self._divided, self._waited = self._divided + 1, 0
            for group in self._optimizer.param_groups:
                group["lr"] /= 10
        self._ended = round_ >= self._epochs

    def state_dict(self) -> dict[str, Any]:
        """As in `Schedule`."""
        return {"best": self._best, "waited": self._waited, "divided": self._divided, "ended": self._ended}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As in `Schedule`; the optimizer's own state holds the learning rates."""
        self._best, self._waited, self._divided, self._ended = (
            state[name] for name in ("best", "waited", "divided", "ended")
        )
