"""The networks that a run begins with: new ones, those of a finished run, or those of an ONNX file."""

import hashlib
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from lowbeam.errors import UsageError
from lowbeam.models.memory_format import channels_last
from lowbeam.models.one_for_all import OneForAll, Size, Trunk
from lowbeam.models.recover import recover
from lowbeam.models.temporal import TemporalHead
from lowbeam.models.widen import can_widen, widened
from lowbeam.recognize import model_path
from lowbeam.train.checkpoint import NETWORK, UNREADABLE, cpu_weights, load_checkpoint, save_checkpoint
from lowbeam.train.recognizer_recipe import RecognizerRecipe

KIND = "one-for-all"  # of the network in `network.pt`
Networks = tuple[OneForAll, TemporalHead | None]


def save_finished(network: OneForAll, head: TemporalHead | None, folder: Path) -> None:
    """Write the networks of a finished run to ``network.pt``."""
    save_checkpoint(
        folder / NETWORK, kind=KIND, size=asdict(network.trunk.size), weights=cpu_weights(network),
        head=None if head is None else cpu_weights(head),
    )  # fmt: skip


def load_finished(run: Path) -> Networks:
    """The networks of a finished run. Raises `UsageError` where `run` is not the folder of one."""
    try:
        content = load_checkpoint(run / NETWORK)
        if content["kind"] != KIND:
            raise ValueError(f"a network of kind {content['kind']}")
        size = Size(content["size"]["patch"], tuple(map(tuple, content["size"]["stages"])))
        network = OneForAll(Trunk(size))
        network.load_state_dict(content["weights"])
        head = None if content["head"] is None else TemporalHead(network.width)
        if head is not None:
            head.load_state_dict(content["head"])
    except UNREADABLE as error:
        raise UsageError(f"{run} is not the folder of a finished run of `lowbeam train`") from error
    return network.eval(), None if head is None else head.eval()


def load_start(start: str | Path) -> Networks:
    """The networks of `start`: the folder of a finished run, an ONNX file of `lowbeam train`, or the name of a model
    that ships. Raises `UsageError`, or `ModelError` for an ONNX file of another origin."""
    return load_finished(Path(start)) if Path(start).is_dir() else recover(model_path(str(start)))


def starting_networks(recipe: RecognizerRecipe, start: str | Path | None) -> Networks:
    """The networks with which a run of `recipe` begins, the temporal head None where the recipe or the start has none.

    A network of a smaller size than the recipe's is widened. Raises `UsageError` where `start` is unusable or its
    network has another size and cannot be widened.
    """
    torch.manual_seed(recipe.seed)
    if start is None:
        if recipe.size is None:
            raise UsageError(f"recipe {recipe.name} adapts a model: name it with --start, such as --start accurate")
        if not recipe.mixture.steps:
            raise UsageError(f"recipe {recipe.name} trains a head alone: name the model with --start")
        if recipe.mixture.start_share:
            raise UsageError(f"recipe {recipe.name} has a start_share: name the start with --start")
        return channels_last(OneForAll(Trunk(recipe.size), recipe.mixture.dropout)), None
    found, head = load_start(start)
    if recipe.size is not None and recipe.size != found.trunk.size:
        if not can_widen(found.trunk.size, recipe.size):
            raise UsageError(f"the network of {start} has another size than that of recipe {recipe.name}")
        found, head = widened(found, recipe.size, recipe.seed), None
    network = OneForAll(Trunk(found.trunk.size), recipe.mixture.dropout)
    network.load_state_dict(found.state_dict())
    if head is None or recipe.temporal is None:
        return channels_last(network), None
    started_head = TemporalHead(network.width, recipe.temporal.dropout)
    started_head.load_state_dict(head.state_dict())
    return channels_last(network), started_head


def digest(network: nn.Module) -> str:
    """The first digits of a SHA-256 of the weights."""
    found = hashlib.sha256()
    for value in network.state_dict().values():
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
