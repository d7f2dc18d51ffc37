"""The results of all finished jobs of an experiment in one: scores, training times, and intervals of the contrasts."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lowbeam.errors import UsageError
from lowbeam.evaluate.paper.bootstrap import (
    METRICS,
    Replicates,
    interval,
    means_over_seeds,
    replicate,
    resampled_reliability,
    resampling,
)  # fmt: skip
from lowbeam.evaluate.paper.claims import ALL, CLAIMS, Cell
from lowbeam.evaluate.processor import processor_name
from lowbeam.metrics import AFFECT_NAMES
from lowbeam.train.paper.jobs import Job, jobs_of
from lowbeam.train.paper.recipe import Experiment

BySeed = dict[Cell, dict[int, dict[str, Replicates]]]  # of each seed, each metric's
Terms = Sequence[tuple[float, Cell]]


def collect(
    experiment: Experiment, folder: Path, truth: NDArray[np.float32], recording: NDArray[np.int32],
    about: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """The results of the jobs in `folder`, ready for JSON. `truth` (n, 2) and `recording` (n,) are those of the test
    faces; `about` are further entries. A claim is judged by the seeds for which all its networks are finished.

    Raises `UsageError` if no job is finished.
    """
    jobs = [job for job in jobs_of(experiment) if (folder / job.name / "result.json").exists()]
    if not jobs:
        raise UsageError(f"nothing of {experiment.name} in {folder} is finished")
    # The correlation of a network that reads the same from every face has no value: nan, which JSON calls null.
    texts = [(folder / job.name / "result.json").read_text() for job in jobs]
    results = [json.loads(text, parse_constant=lambda _: None) for text in texts]
    every = jobs_of(experiment)
    settings = json.loads((folder / "settings.json").read_text())
    whole = [seed for seed in experiment.seeds if all(j in jobs for j in every if j.seed == seed)]
    collected = {
        **about, "experiment": experiment.model_dump(mode="json"), "machine": settings["machine"],
        "test_faces": len(truth),
        "unfinished": [job.name for job in every if job not in jobs], "jobs": results, "seeds_whole": whole,
    }  # fmt: skip
    recognizers = [job for job in jobs if job.system.learns_to == "recognize"]
    if recognizers:
        collected["sureness"] = {
            name: _sureness(recognizers, folder, truth[:, index], recording, whole, index)
            for index, name in enumerate(AFFECT_NAMES)
        }
    return collected


def machine() -> dict[str, Any]:
    """The machine that trains: GPU, CPU, threads and PyTorch's version."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"gpu": gpu, "cpu": processor_name(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def _sureness(
    recognizers: list[Job], folder: Path, truth: NDArray[np.float32], recording: NDArray[np.int32], whole: list[int],
    column: int,
) -> dict[str, Any]:  # fmt: skip
    draws = resampling(recording)
    by_seed: BySeed = {}
    for job in recognizers:
        predictions = np.load(folder / job.name / "predictions.npy")[:, :, column]
        for scale, predicted in zip(job.test_scales, predictions, strict=True):
            by_seed.setdefault((job.key, job.mixture, scale), {})[job.seed] = replicate(predicted, truth, draws)
    return {
        "seeds": whole,
        "contrasts": _contrasts(by_seed),
        "gains": _gains(by_seed),
        "reliability": _reliability(by_seed, whole) if len(whole) > 1 else {},
    }


def _contrasts(by_seed: BySeed) -> list[dict[str, Any]]:
    """Those of the `CLAIMS` whose cells were measured with one seed at least, by the claims' and their own numbers; all
    of a claim with the same `seeds`, with which most of them were measured. Their intervals hold simultaneously for all
    contrasts of the claim, measured or not."""
    found = []
    for number, claim in enumerate(CLAIMS):
        seeds_of = [_seeds(contrast.terms, by_seed) for contrast in claim.contrasts]
        seeds = max(seeds_of, key=lambda seeds: (bool(seeds), sum(set(seeds) <= set(o) for o in seeds_of), len(seeds)))
        if seeds:
            measured = [place for place, others in enumerate(seeds_of) if set(seeds) <= set(others)]
            sums = [_sum(claim.contrasts[place].terms, by_seed, seeds) for place in measured]
            for place, replicates in zip(measured, means_over_seeds(sums), strict=True):
                value, low, high = interval(replicates, len(claim.contrasts))
                found.append(
                    {"claim": number, "contrast": place, "value": value, "low": low, "high": high, "seeds": seeds}
                )
    return found


def _seeds(terms: Terms, by_seed: BySeed) -> list[int]:
    """Those with which all the cells of `terms` were measured."""
    return sorted(set.intersection(*(set(by_seed.get(cell, {})) for _, cell in terms)))


def _sum(terms: Terms, by_seed: BySeed, seeds: list[int]) -> NDArray[np.float64]:
    """The weighted sum of CCCs, (seeds, b): a seed's networks are held against the same seed's."""
    return np.stack([np.sum([weight * by_seed[cell][seed]["ccc"] for weight, cell in terms], axis=0) for seed in seeds])


def _gains(by_seed: BySeed) -> dict[str, Any]:
    """Mean gain in CCC over LR-S of Joint-OA and of LR-OA with the mixture of all scales, over all scales."""
    share = 1 / len(ALL)
    found = {}
    for system in ("joint-oa", "lr-oa"):
        terms = [(share, (system, ALL, s)) for s in ALL] + [(-share, ("lr", (s,), s)) for s in ALL]
        seeds = _seeds(terms, by_seed)
        if not seeds:
            return {}
        found[system] = interval(means_over_seeds([_sum(terms, by_seed, seeds)])[0])
    return found


def _reliability(by_seed: BySeed, seeds: list[int]) -> dict[str, Any]:
    """Of each metric among the networks that have met a scale in training, the mean over scales; and by how much the
    other two exceed RMSE's. Empty where a metric has no value."""
    by_metric = {}
    for metric in METRICS:
        each = []
        for scale in ALL:
            cells = [
                np.stack([found[seed][metric] for seed in seeds])
                for (_, mixture, s), found in by_seed.items() if s == scale and scale in mixture
            ]  # fmt: skip
            if len(cells) > 1:
                each.append(resampled_reliability(np.stack(cells)))
        if not each or not np.isfinite(each).all():
            return {}
        by_metric[metric] = np.mean(each, axis=0)
    found = {metric: interval(value) for metric, value in by_metric.items()}
    others = ("cc", "ccc")
    return found | {
        f"{metric}_minus_rmse": interval(by_metric[metric] - by_metric["rmse"], len(others)) for metric in others
    }
