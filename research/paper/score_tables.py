"""Tables and plots of the systems' scores at each scale."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.evaluate.paper.claims import ALL, RELEASED
from lowbeam.evaluate.table import markdown_table
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.onnx_session import WEIGHTS
from lowbeam.recognize import shipped_models
from lowbeam.train.paper.recipe import LR_SCALES
from research.paper.replication_plots import plot_by_scale

METRICS = {"ccc": "CCC", "cc": "CC", "rmse": "RMSE"}
SCALES = (1, *LR_SCALES)
Scores = dict[tuple[str, tuple[int, ...]], dict[int, list[dict[str, Any]]]]
"""By system and mixture (empty for a single scale S), and by scale: the scores of each seed."""


def by_system(jobs: list[dict[str, Any]]) -> Scores:
    """The scores of all `jobs` of recognizers, as stored in a result file."""
    found: Scores = {}
    for job in jobs:
        scores = {int(scale): scored for scale, scored in job["scores"].items()}
        single = len(job["mixture"]) == 1 and job["mixture"] != [1]
        cells = found.setdefault((job["name"], () if single else tuple(job["mixture"])), {})
        for scale, scored in scores.items():
            cells.setdefault(scale, []).append(scored)
    return found


def shipped_models_on(corpus: str, faces: int) -> Scores:
    """The scores of the models that ship, where `lowbeam table` measured them on a corpus of this name with so many
    test faces."""
    found: Scores = {}
    for name in shipped_models():
        measured = json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))
        if (measured["corpus"], measured["faces"]) == (corpus, faces):
            by_scale = measured["systems"][f"lowbeam {name}"]
            found[f"lowbeam {name}", ()] = {scale: [by_scale[str(scale)]] for scale in SCALES}
    return found


def system_name(name: str, mixture: tuple[int, ...]) -> str:
    """The system as tables name it, with its mixture if it has one."""
    return f"{name} {{{', '.join(map(str, mixture))}}}" if len(mixture) > 1 else name


def mean_and_deviation(values: list[float]) -> str:
    """``0.512 ± 0.013``, the mean and standard deviation over seeds; for one seed, its value."""
    mean = f"{np.mean(values):.3f}"
    return f"{mean} ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else mean


def score_tables(scores: Scores) -> str:
    """A table for each metric of valence and arousal; all but the CCC of valence are folded away."""
    parts = []
    for affect in AFFECT_NAMES:
        for metric, shown in METRICS.items():
            table = _table(scores, affect, metric)
            if affect == "valence" and metric == "ccc":
                parts.append(f"**{shown} of {affect}**\n\n{table}")
            else:
                parts.append(f"<details markdown><summary>{shown} of {affect}</summary>\n\n{table}\n\n</details>")
    return "\n\n".join(parts)


def _table(scores: Scores, affect: str, metric: str) -> str:
    rows = []
    for (name, mixture), cells in scores.items():
        row = [system_name(name, mixture)]
        for scale in SCALES:
            found = [scored[affect][metric] for scored in cells.get(scale, [])]
            values = [value for value in found if value is not None]
            row.append(mean_and_deviation(values) if values else "")
        rows.append(row)
    return markdown_table(["", "HR", *(f"S={s}" for s in LR_SCALES)], rows)


def plot_scores(scores: Scores, folder: Path, name: str, plots: bool) -> list[tuple[Path, str]]:
    """Draw CCC of valence over S into `folder`, unless `plots` is False: for the systems of the paper's Table I, and
    for all mixtures. Returns the images with their descriptions."""
    main = {key: cells for key, cells in scores.items() if key[1] in ((), (1,), RELEASED)}
    mixtures = {key: cells for key, cells in scores.items() if len(key[1]) > 1}
    images = []
    for kind, chosen, text in (
        ("systems", main, "CCC of valence over S for the systems of Table I; mixtures are given in braces"),
        ("mixtures", mixtures, f"CCC of valence over S for mixtures from {{3, 4}} to {{{', '.join(map(str, ALL))}}}"),
    ):
        if not chosen:
            continue
        path = folder / f"{name}-{kind}.png"
        if plots:
            curves = {
                system_name(*key): {s: [scored["valence"]["ccc"] for scored in cells[s]] for s in cells}
                for key, cells in chosen.items()
            }
            plot_by_scale(path, curves, "CCC of valence (mean and deviation of seeds)")
        images.append((path, text))
    return images
