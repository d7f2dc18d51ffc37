"""The first half of a run: the network learns valence and arousal of single faces on the mixture."""

import csv
import time
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lowbeam.errors import UsageError
from lowbeam.files import make_folder
from lowbeam.models.one_for_all import OneForAll, Trunk
from lowbeam.train.losses import ccc_loss, gaussian_nll
from lowbeam.train.video.recipe import Mixture, VideoRecipe
from lowbeam.train.video.sources import Group, Sources

SAVE_EVERY = 200  # steps


def started(recipe: VideoRecipe, start: Path | None) -> OneForAll:
    """The network that a run starts from: new, or the one of a finished run of `lowbeam train one-for-all`.

    Raises `UsageError` where `start` is not the folder of one.
    """
    torch.manual_seed(recipe.seed)
    network = OneForAll(Trunk(), recipe.mixture.dropout)
    if start is not None:
        checkpoint = start / "finetune" / "best.ckpt"
        try:
            state = torch.load(checkpoint, map_location="cpu", weights_only=False)["state_dict"]
            network.load_state_dict({name.removeprefix("network."): value for name, value in state.items()})
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise UsageError(f"{start} is not the folder of a finished run of one-for-all") from error
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs


def train_mixture(network: OneForAll, sources: Sources, recipe: VideoRecipe, folder: Path) -> OneForAll:
    """Train `network`; returns its weights' moving average. Progress is kept in `folder`, from which a run that was
    killed goes on, and told in ``log.csv`` there."""
    mix = recipe.mixture
    make_folder(folder)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(mix.average_decay), use_buffers=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=mix.learning_rate, weight_decay=mix.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, mix.learning_rate, total_steps=mix.steps + 1)
    kept: dict[str, Any] = {"network": network, "average": average, "optimizer": optimizer, "schedule": schedule}
    step = _resume(kept, sources, recipe, folder)
    network.train()
    began, sums, logged = time.monotonic(), torch.zeros(4), step
    while step < mix.steps:
        groups = [sources.group(mix.batch // mix.groups) for _ in range(mix.groups)]
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
            outputs = network(torch.cat([grid for grid, _, _ in groups]))
        losses = _losses([out.float() for out in outputs], groups, mix)
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
            _save(kept, sources, recipe, step, folder)
    return cast(OneForAll, average.module.eval())


def _losses(outputs: list[Tensor], groups: list[Group], mix: Mixture) -> Tensor:
    """MSE, 1 - CCC, emotion's cross entropy and likelihood, (4,), each by its weight."""
    affect, log_variance, logits = outputs
    truth, emotion = torch.cat([g[1] for g in groups]), torch.cat([g[2] for g in groups])
    known = ~emotion.isnan().any(1)
    parts = zip(affect.chunk(len(groups)), (g[1] for g in groups), strict=True)
    named = F.cross_entropy(logits[known], emotion[known]) if known.any() else affect.new_zeros(())
    return torch.stack([
        mix.mse_weight * F.mse_loss(affect, truth),
        mix.ccc_weight * torch.stack([ccc_loss(p, t) for p, t in parts]).mean(),
        mix.emotion_weight * named * known.float().mean(),
        mix.nll_weight * gaussian_nll(affect, log_variance, truth),
    ])  # fmt: skip


def _resume(kept: dict[str, Any], sources: Sources, recipe: VideoRecipe, folder: Path) -> int:
    last = folder / "last.pt"
    if not last.exists():
        return 0
    state = torch.load(last, map_location="cpu", weights_only=False)
    if state["recipe"] != _settings(recipe):
        raise UsageError(f"{folder} holds a run of another recipe: name another folder")
    for name, part in kept.items():
        part.load_state_dict(state[name])
    sources.state = state["sources"]
    torch.set_rng_state(state["rng"])
    return state["step"]


def _settings(recipe: VideoRecipe) -> str:
    """What decides the mixture's network."""
    return recipe.model_dump_json(exclude={"name", "temporal"})


def _save(kept: dict[str, Any], sources: Sources, recipe: VideoRecipe, step: int, folder: Path) -> None:
    state: dict[str, Any] = {name: part.state_dict() for name, part in kept.items()}
    state |= {"sources": sources.state, "rng": torch.get_rng_state(), "step": step}
    state["recipe"] = _settings(recipe)
    torch.save(state, folder / "last.tmp")
    (folder / "last.tmp").replace(folder / "last.pt")


def _log(path: Path, values: list[float]) -> None:
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(["step", "mse", "ccc", "emotion", "nll", "seconds"])
        writer.writerow([f"{value:.5g}" for value in values])
