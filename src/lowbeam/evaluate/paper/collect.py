"""The finished jobs of an experiment in one: their figures, what they cost, and how sure the claims' contrasts are."""

import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lowbeam.errors import UsageError
from lowbeam.evaluate.paper.bootstrap import METRICS, interval, over_seeds, reliability, replicate, resampling
from lowbeam.evaluate.paper.claims import CLAIMS, Cell, Contrast
from lowbeam.train.paper.jobs import jobs_of
from lowbeam.train.paper.recipe import LR_SCALES, Experiment

AFFECT = ("valence", "arousal")
Replicates = dict[Cell, dict[str, NDArray[np.float64]]]  # metric to (seeds, b)
RATIO_OF = ("lr-oa", "joint-oa")  # how much of the second's gain the first has


def collect(
    experiment: Experiment, folder: Path, truth: NDArray[np.float32], recording: NDArray[np.int32],
    about: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """What the jobs in `folder` measured; `truth` (n, 2) and `recording` (n,) are those of the test faces, and `about`
    what else is to be said. Seeds of which a job is missing are left out of the contrasts, not of the table.

    Raises `UsageError` where nothing is finished.
    """
    jobs = [job for job in jobs_of(experiment) if (folder / job.name / "result.json").exists()]
    if not jobs:
        raise UsageError(f"nothing of {experiment.name} in {folder} is finished")
    results = [json.loads((folder / job.name / "result.json").read_text()) for job in jobs]
    every = jobs_of(experiment)
    whole = [seed for seed in experiment.seeds if all(j in jobs for j in every if j.seed == seed)]
    collected = {
        **about, "experiment": experiment.model_dump(mode="json"), "machine": machine(), "test_faces": len(truth),
        "unfinished": [job.name for job in every if job not in jobs], "jobs": results, "seeds_whole": whole,
    }  # fmt: skip
    if whole and any("scores" in result for result in results):
        collected["sureness"] = {
            name: _sureness(experiment, folder, truth[:, index], recording, whole, index)
            for index, name in enumerate(AFFECT)
        }
    return collected


def machine() -> dict[str, Any]:
    """What the training ran on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"gpu": gpu, "cpu": _cpu(), "cores": os.cpu_count(), "torch": torch.__version__}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _sureness(
    experiment: Experiment, folder: Path, truth: NDArray[np.float32], recording: NDArray[np.int32], seeds: list[int],
    column: int,
) -> dict[str, Any]:  # fmt: skip
    draws = resampling(recording, len(seeds))
    each: dict[Cell, list[dict[str, NDArray[np.float64]]]] = {}
    for job in jobs_of(experiment, seeds=seeds):
        if job.system.learns_to == "restore":
            continue
        predictions = np.load(folder / job.name / "predictions.npy")[:, :, column]
        for scale, predicted in zip(job.test_scales, predictions, strict=True):
            found = replicate(predicted, truth, draws.weights)
            each.setdefault((job.key, job.mixture, scale), []).append(found)
    replicates = {
        cell: {metric: np.stack([found[metric] for found in by_seed]) for metric in METRICS}
        for cell, by_seed in each.items()
    }
    ccc = {cell: over_seeds(found["ccc"], draws.seeds) for cell, found in replicates.items()}
    return {
        "seeds": seeds,
        "contrasts": _contrasts(ccc),
        "ratio": _gain_ratio(ccc),
        "reliability": _reliability(replicates) if len(seeds) > 1 else {},
    }


def _contrasts(ccc: dict[Cell, NDArray[np.float64]]) -> list[dict[str, Any]]:
    """Those of `CLAIMS` whose cells were all measured, by the claims' and their own numbers."""
    found = []
    for number, claim in enumerate(CLAIMS):
        for place, contrast in enumerate(claim.contrasts):
            if all(cell in ccc for _, cell in contrast.terms):
                value, low, high = interval(_sum(contrast, ccc))
                found.append({"claim": number, "contrast": place, "value": value, "low": low, "high": high})
    return found


def _sum(contrast: Contrast, ccc: dict[Cell, NDArray[np.float64]]) -> NDArray[np.float64]:
    total = np.zeros_like(next(iter(ccc.values())))
    for weight, cell in contrast.terms:
        total += weight * ccc[cell]
    return total


def _gain_ratio(ccc: dict[Cell, NDArray[np.float64]]) -> dict[str, Any]:
    """Mean gain in CCC over LR-S of Joint-OA, of LR-OA, and their ratio, over all scales."""
    mixture = tuple(LR_SCALES)
    needed = [(key, mixture, s) for key in RATIO_OF for s in mixture] + [("lr", (s,), s) for s in mixture]
    if any(cell not in ccc for cell in needed):
        return {}
    base = np.mean([ccc["lr", (s,), s] for s in mixture], axis=0)
    gains = [np.mean([ccc[key, mixture, s] for s in mixture], axis=0) - base for key in RATIO_OF]
    names = ("lr_oa_gain", "joint_oa_gain")
    return {name: interval(gain) for name, gain in zip(names, gains, strict=True)}


def _reliability(replicates: Replicates) -> dict[str, Any]:
    """Of each metric among the systems that were trained for one scale, the mean over scales; and by how much the other
    two exceed RMSE's."""
    by_metric = {}
    for metric in METRICS:
        each = []
        for scale in LR_SCALES:
            cells = [found[metric] for (_, mixture, s), found in replicates.items() if s == scale and scale in mixture]
            if len(cells) > 1:
                each.append(reliability(np.stack(cells)))
        if not each:
            return {}
        by_metric[metric] = np.mean(each, axis=0)
    found = {metric: interval(value) for metric, value in by_metric.items()}
    return found | {f"{metric}_minus_rmse": interval(by_metric[metric] - by_metric["rmse"]) for metric in ("cc", "ccc")}
