"""Learning curves of an experiment's networks, from the losses that are archived with them."""

import json
from pathlib import Path

from lowbeam.errors import UsageError
from lowbeam.train.paper.recipe import load_system
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
    found = {}
    for path in sorted(kept.glob("*-seed*.json")):
        try:
            archived = json.loads(path.read_text(encoding="utf-8"))
            result = archived["result"]
            if "log" not in archived or "scores" not in result:
                continue
            each = result["faces_seen"] / result["epochs"] / 1e6
            met = [each * (epoch + 1) for epoch in range(len(archived["log"]["valid_loss"]))]
            found[f"{_label(result['system'], tuple(result['mixture']))}, seed {result['seed']}"] = met, archived["log"]
        except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
            raise UsageError(f"{path} is damaged; bring it back from the repository, or delete it") from error
    return found


def _label(key: str, mixture: tuple[int, ...]) -> str:
    """The name of a network's system, with its mixture or, in place of S, its scale: ``Joint-6``."""
    name = load_system(key).name
    if mixture == (1,) or len(mixture) > 1:
        return system_name(name, mixture)
    return name.replace("-S", f"-{mixture[0]}")
