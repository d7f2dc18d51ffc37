"""The first half of a run: the network learns valence and arousal of single faces on the mixture."""

import csv
import hashlib
import time
from pathlib import Path
from typing import Any, cast

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lowbeam.errors import UsageError
from lowbeam.files import make_folder
from lowbeam.models.one_for_all import OneForAll, Trunk
from lowbeam.train.video.learner import LOSSES, Learner
from lowbeam.train.video.recipe import VideoRecipe
from lowbeam.train.video.sources import Sources
from lowbeam.train.video.teacher import Teacher, finished

SAVE_EVERY = 200  # steps
Origin = list[str | None]  # digests of the weights that a run began from, and of those that teach


def started(recipe: VideoRecipe, start: Path | None) -> OneForAll:
    """The network that a run starts from: new, or the one of a finished run of the same size.

    Raises `UsageError` where `start` is not the folder of one.
    """
    torch.manual_seed(recipe.seed)
    network = OneForAll(Trunk(recipe.size), recipe.mixture.dropout)
    if start is not None:
        found = finished(start)
        if found.trunk.size != network.trunk.size:
            raise UsageError(f"{start} holds a network of another size than recipe {recipe.name} trains")
        network.load_state_dict(found.state_dict())
    return _for_speed(network)


def taught_by(recipe: VideoRecipe, run: Path | None) -> Teacher | None:
    """The teacher that `recipe` asks for, from the folder of its finished run. Raises `UsageError` where one is missing
    or not wanted."""
    if recipe.mixture.taught != (run is not None):
        raise UsageError(f"recipe {recipe.name} {'needs a' if run is None else 'has no use for a'} teacher: --teacher")
    return None if run is None else Teacher(_for_speed(finished(run)))


def _for_speed(network: OneForAll) -> OneForAll:
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs


def train_mixture(
    network: OneForAll, sources: Sources, recipe: VideoRecipe, folder: Path, teacher: Teacher | None = None
) -> OneForAll:
    """Train `network`; returns its weights' moving average. Progress is kept in `folder`, from which a run that was
    killed goes on, and told in ``log.csv`` there. Raises `UsageError` where `folder` is of a run of another recipe, or
    one that began or was taught otherwise."""
    mix = recipe.mixture
    make_folder(folder)
    origin = [_digest(network), None if teacher is None else _digest(teacher.network)]
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(mix.average_decay), use_buffers=True)
    learner = Learner(network, teacher, mix)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=mix.learning_rate, weight_decay=mix.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, mix.learning_rate, total_steps=mix.steps + 1)
    kept: dict[str, Any] = {"learner": learner, "average": average, "optimizer": optimizer, "schedule": schedule}
    step = _resume(kept, sources, recipe, origin, folder)
    network.train()
    began, sums, logged = time.monotonic(), torch.zeros(len(LOSSES)), step
    while step < mix.steps:
        groups = [sources.group(mix.batch // mix.groups) for _ in range(mix.groups)]
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
            losses = learner(groups)
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
        sums += losses.detach()
        step += 1
        if step % SAVE_EVERY == 0 or step == mix.steps:
            _log(folder / "log.csv", [step, *(sums / (step - logged)).tolist(), time.monotonic() - began])
            sums.zero_()
            logged = step
            _save(kept, sources, recipe, origin, step, folder)
    return cast(OneForAll, average.module.eval())


def _digest(network: OneForAll) -> str:
    """Changes with the weights."""
    found = hashlib.sha256()
    for value in network.state_dict().values():
        found.update(value.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def _resume(kept: dict[str, Any], sources: Sources, recipe: VideoRecipe, origin: Origin, folder: Path) -> int:
    last = folder / "last.pt"
    if not last.exists():
        return 0
    state = torch.load(last, map_location="cpu", weights_only=False)
    if state["recipe"] != _settings(recipe) or state.get("origin", origin) != origin:
        raise UsageError(f"{folder} holds a run of another recipe, start or teacher: name another folder")
    for name, part in kept.items():
        part.load_state_dict(state[name])
    sources.state = state["sources"]
    torch.set_rng_state(state["rng"])
    return state["step"]


def _settings(recipe: VideoRecipe) -> str:
    """What decides the mixture's network."""
    return recipe.model_dump_json(exclude={"name", "temporal", "int8"})


def _save(kept: dict[str, Any], sources: Sources, recipe: VideoRecipe, origin: Origin, step: int, folder: Path) -> None:
    state: dict[str, Any] = {name: part.state_dict() for name, part in kept.items()}
    state |= {"sources": sources.state, "rng": torch.get_rng_state(), "step": step, "origin": origin}
    state["recipe"] = _settings(recipe)
    torch.save(state, folder / "last.tmp")
    (folder / "last.tmp").replace(folder / "last.pt")


def _log(path: Path, values: list[float]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(["step", *LOSSES, "seconds"])
        writer.writerow([f"{value:.5g}" for value in values])
