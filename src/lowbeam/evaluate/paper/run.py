"""Train and test the jobs of an experiment: any part of it, with interruptions, in one or several processes."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowbeam.errors import UsageError
from lowbeam.evaluate.paper.restoration import measure_restoration
from lowbeam.evaluate.processor import processor
from lowbeam.evaluate.table import scores
from lowbeam.files import exclusive, whole_file
from lowbeam.models.normalised import RestorationNetwork
from lowbeam.models.paper import CnnD, parameter_count
from lowbeam.train.checkpoint import LAST, NETWORK, UNREADABLE, cpu_weights, load_checkpoint, save_checkpoint
from lowbeam.train.loop import Deadline, OutOfTime
from lowbeam.train.paper.jobs import Job, jobs_of
from lowbeam.train.paper.networks import (
    DeviceFaces,
    affect_of,
    make_cnn_d,
    make_restoration_network,
    make_sr_fcn,
    restored,
)  # fmt: skip
from lowbeam.train.paper.recipe import Experiment
from lowbeam.train.paper.tasks import train_cnn_d, train_restoration

WAIT_S = 2.0  # between looks at what other processes have finished
Say = Callable[[str], None]
Done = Callable[[Job], None]


@dataclass(frozen=True)
class Splits:
    """A corpus on the device."""

    train: DeviceFaces
    valid: DeviceFaces
    test: DeviceFaces


def run_experiment(
    experiment: Experiment, splits: Splits, folder: Path, *, systems: Iterable[str] = (),
    scales: Iterable[int] = (), seeds: Iterable[int] = (), budget_s: float | None = None, say: Say = print,
    done: Done = lambda job: None,
) -> bool:  # fmt: skip
    """Train and test the unfinished jobs of the experiment, or of the chosen `systems`, `scales` and `seeds`. Each job
    writes ``result.json``, ``predictions.npy``, ``network.pt`` and ``log.csv`` into a folder of its own, and is then
    passed to `done`.

    Several processes may work on the same `folder`. After `budget_s` seconds the state is saved, and the next call
    continues from it. Returns whether all chosen jobs are finished.
    """
    deadline = Deadline(time.monotonic() + budget_s) if budget_s is not None else Deadline()
    waiting = jobs_of(experiment, systems, scales, seeds)
    every, told = len(waiting), False
    try:
        while waiting:
            finished = [job for job in waiting if _try(job, experiment, splits, folder, deadline, say, done)]
            waiting = [job for job in waiting if job not in finished]
            if not finished:
                deadline.check()
                if not told:
                    say(f"waiting for another process, which trains {waiting[0].name} or a network that it needs")
                    told = True
                time.sleep(WAIT_S)  # another process trains what the remaining jobs need
    except OutOfTime:
        left = sum(not (folder / job.name / "result.json").exists() for job in waiting)
        say(f"the time budget is used up: {left} of {every} networks are not finished; the same command continues")
        return False
    return True


def _try(
    job: Job, experiment: Experiment, splits: Splits, folder: Path, deadline: Deadline, say: Say, done: Done
) -> bool:  # fmt: skip
    """Train and test `job` if that is possible now. Returns whether it is finished."""
    place = folder / job.name
    if (place / "result.json").exists():
        return True
    if job.needs is not None and not (folder / job.needs / "result.json").exists():
        return False
    with exclusive(place / "lock", wait=False) as ours:
        if not ours:
            return False
        if not (place / "result.json").exists():
            deadline.check()
            result = _carry_out(job, experiment, splits, folder, deadline)
            with whole_file(place / "result.json") as beside:
                beside.write_text(json.dumps(result, indent=1) + "\n")
            (place / LAST).unlink(missing_ok=True)  # the log and the network stay
            say(f"{job.name}: {result['train_s']:.0f} s, {summary(result)}")
            done(job)
    return True


def summary(result: dict[str, Any]) -> str:
    """The CCC of valence, or the PSNR, at each scale, in one line."""
    if "restoration" in result:
        parts = {s: f"{r['psnr_db']:.2f} dB ({r['bicubic_psnr_db']:.2f})" for s, r in result["restoration"].items()}
    else:
        parts = {s: f"{r['valence']['ccc']:.3f}" for s, r in result["scores"].items()}
    return ", ".join(f"s={scale} {text}" for scale, text in parts.items())


def _carry_out(job: Job, experiment: Experiment, splits: Splits, folder: Path, deadline: Deadline) -> dict[str, Any]:
    place = folder / job.name
    torch.manual_seed(job.seed)
    generator = torch.Generator().manual_seed(job.seed)
    about = {
        "experiment": experiment.name, "system": job.key, "name": job.system.name, "mixture": list(job.mixture),
        "seed": job.seed,
    }  # fmt: skip
    network: RestorationNetwork | CnnD
    if job.system.learns_to == "restore":
        restorer = make_restoration_network(experiment, job.system.restorer).to(splits.train.pixels.device)
        cost = train_restoration(
            restorer, experiment, job.mixture, splits.train, splits.valid, place, generator, deadline
        )
        _save(restorer, job, place)
        network = restorer
        measured: dict[str, Any] = {
            "restoration": measure_restoration(restorer, experiment, splits.test.pixels, job.test_scales)
        }
    else:
        network, cost, splits = _train_recognizer(job, experiment, splits, folder, generator, deadline)
        _save(network, job, place)
        scales = (1,) if job.system.reads == "restored" else job.test_scales
        read = np.stack([affect_of(network, experiment, splits.test.pixels, s).cpu().numpy() for s in scales])
        np.save(place / "predictions.npy", read.astype(np.float16))
        truth = splits.test.affect.cpu().numpy()
        pairs = zip(job.test_scales, read, strict=True)
        measured = {"scores": {str(scale): scores(affect, None, truth) for scale, affect in pairs}}
    return {**about, "parameters": parameter_count(network), "processor": processor(), **cost, **measured}


def _save(network: RestorationNetwork | CnnD, job: Job, place: Path) -> None:
    kind = job.system.restorer if job.system.learns_to == "restore" else "cnn-d"
    save_checkpoint(place / NETWORK, kind=kind, weights=cpu_weights(network))


def _load_weights(network: RestorationNetwork | CnnD, place: Path) -> None:
    """Raises `UsageError` where the file is missing or damaged."""
    try:
        network.load_state_dict(load_checkpoint(place / NETWORK)["weights"])
    except UNREADABLE as error:
        raise UsageError(f"{place / NETWORK} is missing or damaged; delete {place} to train it anew") from error


def _train_recognizer(
    job: Job, experiment: Experiment, splits: Splits, folder: Path, generator: torch.Generator, deadline: Deadline
) -> tuple[CnnD, dict[str, float], Splits]:
    """Returns the network, the figures of its training, and the faces as it receives them."""
    mixture, convolutions = job.mixture, None
    if job.needs is not None:
        handed = make_sr_fcn(experiment).to(splits.train.pixels.device)
        _load_weights(handed, folder / job.needs)
        if job.system.reads == "restored":
            (scale,) = mixture
            splits = Splits(*(
                DeviceFaces(restored(handed, experiment, faces.pixels, scale), faces.affect)
                for faces in (splits.train, splits.valid, splits.test)
            ))  # fmt: skip
            mixture = (1,)
        else:
            convolutions = handed.convolutions
    network, cost = train_cnn_d(
        experiment, mixture, splits.train, splits.valid, folder / job.name, generator, deadline,
        convolutions=convolutions, frozen=job.system.convolutions == "frozen",
    )  # fmt: skip
    return network, cost, splits


def load_network(job: Job, experiment: Experiment, folder: Path) -> RestorationNetwork | CnnD:
    """The trained network of a finished job. Raises `UsageError` if it is not finished."""
    path = folder / job.name / NETWORK
    if not path.is_file():
        raise UsageError(f"{job.name} is not finished: run the experiment first")
    network = (
        make_restoration_network(experiment, job.system.restorer)
        if job.system.learns_to == "restore"
        else make_cnn_d(experiment)
    )
    _load_weights(network, path.parent)
    return network.eval()
