"""A teacher: a finished network, which reads a face at full detail where its student sees what a link has left of it.

It reads each face and its mirror image, and teaches the mean of both, which costs the student nothing when it is used
(distillation: Hinton et al. 2015, arXiv 1503.02531; from the very view that the student is given, and for long: Beyer
et al. 2022, arXiv 2106.05237).
"""

import json
from pathlib import Path
from pickle import UnpicklingError
from typing import NamedTuple

import torch
from torch import Tensor

from lowbeam.errors import UsageError
from lowbeam.models.one_for_all import OneForAll, Trunk
from lowbeam.train.video.recipe import VideoRecipe


class Lesson(NamedTuple):
    """What a teacher makes of n faces: affect (n, 2), emotion probabilities (n, 8), features (n, width)."""

    affect: Tensor
    emotion: Tensor
    features: Tensor


class Teacher:
    """Teaches what `network` reads."""

    def __init__(self, network: OneForAll) -> None:
        self.network = network.eval().requires_grad_(False)

    @property
    def width(self) -> int:
        """Of the features."""
        return self.network.width

    @torch.no_grad()
    def __call__(self, grid: Tensor) -> Lesson:
        """Read faces (n, 1, 48, 48) and their mirror images."""
        features, mirrored = self.network.features(torch.cat([grid, grid.flip(3)])).float().chunk(2)
        readings = [self.network.read(part) for part in (features, mirrored)]
        quarters = mirrored.unflatten(1, (-1, 2, 2)).flip(3).flatten(1)  # left is left again
        return Lesson(
            (readings[0][0] + readings[1][0]).float() / 2,
            (readings[0][2].float().softmax(1) + readings[1][2].float().softmax(1)) / 2,
            (features + quarters) / 2,
        )


def finished(run: Path) -> OneForAll:
    """The network of a finished run of ``one-for-all``, or of a mixture. Raises `UsageError` where `run` is not the
    folder of one."""
    try:
        return _mixed(run) if (run / "mixture").is_dir() else _finetuned(run)
    except (OSError, EOFError, RuntimeError, LookupError, AttributeError, ValueError, UnpicklingError) as error:
        raise UsageError(f"{run} is not the folder of a finished run of lowbeam train") from error


def _finetuned(run: Path) -> OneForAll:
    if not any(run.glob("*.onnx")):
        raise ValueError("it was stopped before its end")
    state = torch.load(run / "finetune" / "best.ckpt", map_location="cpu", weights_only=False)["state_dict"]
    network = OneForAll(Trunk())
    network.load_state_dict({name.removeprefix("network."): value for name, value in state.items()})
    return network


def _mixed(run: Path) -> OneForAll:
    kept = torch.load(run / "mixture" / "last.pt", map_location="cpu", weights_only=False)
    recipe = VideoRecipe.model_validate(json.loads(kept["recipe"]) | {"name": "finished"})
    if kept["step"] < recipe.mixture.steps:
        raise ValueError("it was stopped before its end")
    network = OneForAll(Trunk(recipe.size))
    average = kept["average"].items()
    network.load_state_dict({n.removeprefix("module."): value for n, value in average if n.startswith("module.")})
    return network
