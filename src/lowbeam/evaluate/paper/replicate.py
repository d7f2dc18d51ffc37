"""`replicate`: an experiment from a corpus to its result file."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowbeam.corpora.choose import corpus_name, kind_and_place, load_faces
from lowbeam.corpora.labelled import SPLITS, LabelledFaces
from lowbeam.errors import CorpusError, OutputError, UsageError, reason
from lowbeam.evaluate.paper.collect import collect, machine
from lowbeam.evaluate.paper.kept import bring_back, keep
from lowbeam.evaluate.paper.run import Say, Splits, load_network, run_experiment
from lowbeam.evaluate.paper.sheet import write_sheet
from lowbeam.evaluate.paper.verdicts import verdict_table
from lowbeam.files import whole_file
from lowbeam.models.export import export_restorer
from lowbeam.models.normalised import RestorationNetwork
from lowbeam.progress import Progress
from lowbeam.train.device import choose_device
from lowbeam.train.paper.jobs import Job, jobs_of
from lowbeam.train.paper.networks import DeviceFaces
from lowbeam.train.paper.recipe import LR_SCALES, Experiment, load_experiment

SETTINGS = ("channels", "pooling", "every_nth_face", "precision", "restore", "recognize")  # one `out`, one of each


def replicate(
    experiment: str | Path, corpus: str | Path, out: str | Path, *, results: str | Path | None = None,
    systems: Iterable[str] = (), scales: Iterable[int] = (), seeds: Iterable[int] = (), minutes: float | None = None,
    device: str | None = None, cache: str | Path | None = None, say: Say = print,
    progress: Progress | None = None,
) -> bool:  # fmt: skip
    """Carry out an experiment, by its name or YAML file, on a corpus (see `load_faces`), or continue it.

    Networks, logs and scores are written to ``out/NAME``; finished networks are skipped, and several processes may
    share `out`. `systems`, `scales` and `seeds` choose a part; after `minutes` it stops, and the next call continues.
    With a folder `results`, all finished results are gathered in ``results/NAME.json``, and the verdicts on the claims
    are passed to `say` at the end. For experiments with ``keep_each``, they are gathered after each network, whose
    results are archived in ``results/NAME/`` and restored from there. `device` is ``cpu`` or ``cuda``; the default is
    CUDA if it is available. `progress` counts recordings whose faces are cut. Returns whether all chosen networks are
    finished.

    Raises `UsageError`, `CorpusError` or `OutputError`.
    """
    recipe = load_experiment(experiment)
    systems, scales, seeds = tuple(systems), tuple(scales), tuple(seeds)
    if minutes is not None and not minutes >= 0:
        raise UsageError(f"minutes must be 0 or more, not {minutes:g}")
    place = choose_device(device)
    recognizes = any(job.system.learns_to == "recognize" for job in jobs_of(recipe, systems, scales, seeds))
    labelled = {split: load_faces(corpus, split, cache=cache, progress=progress) for split in SPLITS}
    if recognizes and any(np.isnan(faces.affect).any() for faces in labelled.values()):
        raise CorpusError(f"{corpus} has no valence and arousal: only restoration can be learned from it")
    folder = Path(out) / recipe.name
    _check_settings(recipe, labelled, corpus_name(corpus), folder)
    splits = Splits(*(
        _on_device(labelled[split], 1 if split == "test" else recipe.every_nth_face, place) for split in SPLITS
    ))  # fmt: skip
    about = {
        "title": recipe.title, "corpus": corpus_name(corpus),
        "train_faces": len(splits.train), "valid_faces": len(splits.valid),
        "command": _command(recipe, corpus, systems, scales, seeds),
    }  # fmt: skip
    kept = Path(results) / recipe.name if results is not None and recipe.keep_each else None
    if kept is not None:
        _check_settings(recipe, labelled, corpus_name(corpus), kept)
        bring_back(jobs_of(recipe), jobs_of(recipe, systems, scales, seeds), folder, kept)

    def done(job: Job) -> None:
        if results is not None and kept is not None:
            keep(job, folder, kept)
            _gather(recipe, splits, folder, labelled["test"], about, Path(results))

    finished = run_experiment(
        recipe, splits, folder, systems=systems, scales=scales, seeds=seeds,
        budget_s=None if minutes is None else 60 * minutes, say=say, done=done,
    )  # fmt: skip
    if results is not None and _something_is_finished(recipe, folder):
        found = _gather(recipe, splits, folder, labelled["test"], about, Path(results))
        if "sureness" in found and (verdicts := verdict_table(found["sureness"])):
            say(verdicts)
    return finished


def _something_is_finished(experiment: Experiment, folder: Path) -> bool:
    return any((folder / job.name / "result.json").exists() for job in jobs_of(experiment))


def _on_device(faces: LabelledFaces, every_nth: int, device: torch.device) -> DeviceFaces:
    pixels = torch.from_numpy(np.array(faces.pixels[::every_nth]))
    return DeviceFaces(pixels.to(device), torch.from_numpy(faces.affect[::every_nth].copy()).to(device))


def _check_settings(experiment: Experiment, labelled: dict[str, LabelledFaces], corpus: str, folder: Path) -> None:
    """Raise `UsageError` if `folder` holds results with other settings, faces or labels."""
    path = folder / "settings.json"
    faces = {split: _digest(found) for split, found in labelled.items()}
    settings = {"corpus": corpus, "faces": faces, **experiment.model_dump(mode="json", include=set(SETTINGS))}
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be written: {reason(error)}") from error
        with whole_file(path) as beside:
            beside.write_text(json.dumps({**settings, "machine": machine()}, indent=1) + "\n")
        return
    try:
        before = json.loads(path.read_text())
        other = [name for name in settings if before.get(name) != settings[name]]
    except (OSError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is damaged; name another folder, or delete it") from error
    if other:
        raise UsageError(f"{folder} was made with another {other[0]}; name another folder, or delete it")


def _digest(faces: LabelledFaces) -> str:
    """Digest of the number of faces, their labels and recordings."""
    digest = hashlib.sha256(np.array(faces.pixels.shape).tobytes())
    for array in (faces.affect, faces.recording):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _command(
    experiment: Experiment, corpus: str | Path, systems: tuple[str, ...], scales: tuple[int, ...],
    seeds: tuple[int, ...],
) -> str:  # fmt: skip
    kind, place = kind_and_place(corpus)
    words = ["lowbeam replicate", experiment.name, "--corpus", f"{kind}:{place.name}", "-o runs/paper"]
    words += ["--results docs/replication"] * experiment.keep_each
    for option, values in (("--system", systems), ("--scale", scales), ("--seed", seeds)):
        words += [f"{option} {value}" for value in values]
    return " ".join(words)


def _gather(
    experiment: Experiment, splits: Splits, folder: Path, test: LabelledFaces, about: dict[str, Any], results: Path
) -> dict[str, Any]:
    """Write ``results/NAME.json`` and the sheet; returns the content of the file."""
    found = collect(experiment, folder, test.affect, test.recording, about)
    try:
        results.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{results} cannot be written: {reason(error)}") from error
    with whole_file(results / f"{experiment.name}.json") as beside:
        beside.write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    _export(experiment, folder)
    write_sheet(experiment, folder, splits.test.pixels, results / f"{experiment.name}-faces.png")
    return found


def _export(experiment: Experiment, folder: Path) -> None:
    """Export the restorer of all scales to ONNX, if the experiment has one."""
    for job in jobs_of(experiment, seeds=experiment.seeds[:1]):
        serves_all = job.system.learns_to == "restore" and set(job.mixture) >= set(LR_SCALES)
        if serves_all and (folder / job.name / "result.json").exists():
            network = load_network(job, experiment, folder)
            assert isinstance(network, RestorationNetwork)
            with whole_file(folder / f"{job.key}.onnx") as beside:
                export_restorer(network, beside)
