"""Learning curves of an experiment's networks, from the losses that are archived with them."""

import json
from pathlib import Path

from lowbeam.train.paper.recipe import System, load_system
from research.paper.replication_plots import plot_learning_curves
from research.paper.score_tables import system_name

Curve = dict[str, list[float]]  # losses and learning rate of each epoch


def plot_learning(kept: Path, folder: Path, name: str, plots: bool) -> list[tuple[Path, str]]:
    """Draw the validation losses of the recognizers whose archived results, the files in `kept`, have them, into
    `folder`, unless `plots` is False. Returns the image with its description, if there is any."""
    curves = _curves(kept)
    if not curves:
        return []
    path = folder / f"{name}-learning.png"
    if plots:
        plot_learning_curves(path, curves)
    text = (
        "Validation loss of each recognizer over the faces that it has met; a dot marks where the learning rate was "
        "divided by ten. Networks that finished before losses were archived are missing"
    )
    return [(path, text)]


def _curves(kept: Path) -> dict[str, tuple[list[float], Curve]]:
    """By network: the millions of faces met after each epoch, and what was archived of each."""
    systems: dict[str, System] = {}
    found = {}
    for path in sorted(kept.glob("*-seed*.json")):
        archived = json.loads(path.read_text(encoding="utf-8"))
        result = archived["result"]
        if "log" not in archived or "scores" not in result:
            continue
        system = systems.setdefault(result["system"], load_system(result["system"]))
        each = result["faces_seen"] / result["epochs"] / 1e6
        label = f"{system_name(system.name, tuple(result['mixture']))}, seed {result['seed']}"
        if len(result["mixture"]) == 1 and result["mixture"] != [1]:
            label = f"{system.name.removesuffix('S')}{result['mixture'][0]}, seed {result['seed']}"
        found[label] = ([each * (epoch + 1) for epoch in range(len(archived["log"]["valid_loss"]))], archived["log"])
    return found
