"""A run from a recipe of kind ``recognizer`` to a calibrated ONNX file: pre-train, mixture, temporal head, export."""

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowbeam.errors import UsageError
from lowbeam.files import exclusive, make_folder, whole_file
from lowbeam.models.average import average_with
from lowbeam.models.memory_format import channels_last
from lowbeam.models.one_for_all import OneForAll, TrunkPretraining
from lowbeam.models.recover import restore_statistics
from lowbeam.models.temporal import TemporalHead
from lowbeam.progress import Progress
from lowbeam.scale import FACE_SIDE, SCALES, resample, shrink
from lowbeam.train.delivery import export_calibrated, typical_grids, valid_samples
from lowbeam.train.device import choose_device
from lowbeam.train.loop import fit
from lowbeam.train.mixture import MixtureTask
from lowbeam.train.pretrain import PretrainingTask
from lowbeam.train.recognizer_recipe import RecognizerRecipe
from lowbeam.train.sampler import GroupSampler
from lowbeam.train.schedule import OneCycle
from lowbeam.train.start import digest, load_start, save_finished, starting_networks
from lowbeam.train.teacher import Teacher
from lowbeam.train.temporal import TemporalTask, TrackFeatures, ccc_by_fps, face_features, track_features
from lowbeam.train.training_data import (
    Corpora,
    TrainingData,
    choose_corpora,
    load_training_data,
    load_validation_data,
)  # fmt: skip

MAX_GRADIENT_NORM = 1.0  # of the temporal head

Say = Callable[[str], None]


def train(
    recipe: RecognizerRecipe, corpora: Sequence[str], out: str | Path, *, start: str | Path | None = None,
    teacher: str | Path | None = None, unlabelled: str | None = None, device: str | None = None, say: Say = print,
    progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Train as `recipe` says on `corpora`, each ``KIND:PATH``, and write the ONNX file and ``network.pt`` to `out`.

    Whatever is finished is kept in `out`, and a stopped run resumes. `start` and `teacher` are the folder of a finished
    run, an ONNX file of one, or the name of a model that ships; `unlabelled` is a corpus of stills of which the labels
    are not used; `device` is ``cpu`` or ``cuda``, by default what there is.

    Trains on the ``train`` split, selects and calibrates on ``valid``, and never opens ``test``. Returns the path of
    the ONNX file. Raises `UsageError` where recipe, corpora, start and teacher do not fit together or `out` holds
    another run; `CorpusError`, `ModelError` or `OutputError`.
    """
    chosen, place = choose_corpora(recipe, corpora, unlabelled), choose_device(device)
    network, head = starting_networks(recipe, start)
    taught_by = _teacher(recipe, teacher, place)
    folder = make_folder(out)
    with exclusive(folder / "lock", wait=False) as ours:
        if not ours:
            raise UsageError(f"{folder} is in use by another run of `lowbeam train`")
        return _run(network, head, recipe, chosen, taught_by, folder, place, is_file=_is_file(start), say=say,
                    progress=progress)  # fmt: skip


def _is_file(start: str | Path | None) -> bool:
    """Whether the start is an ONNX file, in which batch normalization has no statistics."""
    return start is not None and not Path(start).is_dir()


def _run(
    network: OneForAll, head: TemporalHead | None, recipe: RecognizerRecipe, chosen: Corpora, taught_by: Teacher | None,
    folder: Path, place: torch.device, *, is_file: bool, say: Say, progress: Progress | None,
) -> Path:  # fmt: skip
    data = load_training_data(recipe, chosen, folder, progress)
    valid = load_validation_data(recipe, chosen, folder, progress)
    stills, faces = sum(map(len, data.stills)), 0 if data.people is None else len(data.people)
    say(f"{stills:,} stills and {faces:,} faces of recordings for training")
    started_from = digest(network)
    if is_file:
        restore_statistics(network, typical_grids(data, recipe.seed))
    network = _train_single_frame(network.to(place), started_from, recipe, data, valid, taught_by, folder, say)
    if recipe.temporal is not None:
        head = _train_head(head or _new_head(network, recipe), network, recipe, data, valid, folder, say)
    save_finished(network, head, folder)
    return export_calibrated(network.cpu(), head, recipe, data, valid, folder)


def _teacher(recipe: RecognizerRecipe, teacher: str | Path | None, device: torch.device) -> Teacher | None:
    if recipe.mixture.needs_teacher != (teacher is not None):
        verb = "needs" if teacher is None else "does not use"
        raise UsageError(f"recipe {recipe.name} {verb} a teacher (--teacher)")
    if teacher is None:
        return None
    return Teacher(channels_last(load_start(teacher)[0]).to(device))


def _train_single_frame(
    network: OneForAll, started_from: str, recipe: RecognizerRecipe, data: TrainingData, valid: TrainingData,
    teacher: Teacher | None, folder: Path, say: Say,
) -> OneForAll:  # fmt: skip
    """Pre-training, where the recipe has any, on the first corpus of stills; and the mixture, unless it has no step."""
    if not recipe.mixture.steps:
        return network.eval()
    device = network.readout.weight.device
    about: dict[str, Any] = {
        "recipe": _settings(recipe, {"temporal": True, "mixture": {"start_share"}}), "start": started_from,
        "teacher": None if teacher is None else digest(teacher.network), "labels": data.digest(),
        "selected on": valid.digest() if recipe.mixture.keeps == "best" else None,
    }  # fmt: skip
    if recipe.pretrain is not None:
        pretraining = channels_last(TrunkPretraining(network.trunk)).to(device)
        first = PretrainingTask(pretraining, recipe, data.stills[0].faces.pixels, valid.stills[0].faces.pixels, device)
        settings = recipe.pretrain
        optimizer = torch.optim.AdamW(
            pretraining.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        fit(first, optimizer, OneCycle(optimizer, settings.steps), folder / "pretrain",
            about=about)  # fmt: skip
    mix, start = recipe.mixture, deepcopy(network)
    sampler, best = GroupSampler(data, mix, recipe.augmentation, recipe.seed, device), mix.keeps == "best"
    task = MixtureTask(network, recipe, sampler, teacher, valid_samples(valid) if best else ())
    optimizer = torch.optim.AdamW(task.parameter_groups(), lr=mix.learning_rate, weight_decay=mix.weight_decay)
    took = fit(task, optimizer, OneCycle(optimizer, mix.steps), folder / "mixture", about=about,
               average_decay=mix.average_decay, start_competes=best)  # fmt: skip
    if best:
        say(f"CCC on valid, mean over sides: {1 - took.start_loss:.3f} at the start, {1 - took.valid_loss:.3f} now")
    if mix.start_share:
        average_with(network, start, mix.start_share)
    return network


def _settings(recipe: RecognizerRecipe, without: dict[str, Any] | None = None) -> str:
    """The part of a recipe that decides what is trained."""
    return recipe.model_dump_json(exclude={"kind": True, "name": True, "int8": True, **(without or {})})


def _new_head(network: OneForAll, recipe: RecognizerRecipe) -> TemporalHead:
    assert recipe.temporal is not None
    torch.manual_seed(recipe.seed)
    return TemporalHead(network.width, recipe.temporal.dropout)


def _train_head(
    head: TemporalHead, network: OneForAll, recipe: RecognizerRecipe, data: TrainingData, valid: TrainingData,
    folder: Path, say: Say,
) -> TemporalHead:  # fmt: skip
    settings = recipe.temporal
    assert settings is not None
    about = {
        "recipe": _settings(recipe), "network": digest(network), "start": digest(head),
        "labels": data.digest() + valid.digest(),
    }  # fmt: skip
    tracks, validation = track_features(network, data.coded_tracks), track_features(network, valid.coded_tracks)
    stills = _still_features(network, data, recipe.seed) if settings.stills else None
    task = TemporalTask(head, tracks, stills, validation, settings, recipe.seed)
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    fit(task, optimizer, OneCycle(optimizer, settings.steps), folder / "temporal", about=about,
        max_gradient_norm=MAX_GRADIENT_NORM, start_competes=True)  # fmt: skip
    measured = {"each frame by itself": ccc_by_fps(None, validation), "with memory": ccc_by_fps(head, validation)}
    for name, found in measured.items():
        say(f"CCC on valid, {name}: " + ", ".join(f"{value:.3f} at {fps:g} fps" for fps, value in found.items()))
    with whole_file(folder / f"{recipe.name}-valid.json") as beside:
        beside.write_text(json.dumps({"loss": settings.loss, "ccc": measured}, indent=1) + "\n")
    return head


def _still_features(network: OneForAll, data: TrainingData, seed: int) -> TrackFeatures:
    """A round of coded stills and the same stills uncoded, each at a scale drawn at random; the times are not used."""
    rng = np.random.default_rng(seed)
    features, single, labels = [], [], []
    for corpus in data.stills:
        drawn = rng.choice(SCALES, len(corpus))
        for scale in SCALES:
            rows = np.flatnonzero(drawn == scale)
            plain = shrink(resample(corpus.faces.pixels[rows], FACE_SIDE), scale)
            for pixels in (plain, corpus.coded[0].pixels[scale][rows]):
                f, s = face_features(network, pixels)
                features.append(f)
                single.append(s)
                labels.append(corpus.faces.affect[rows])
    affect = np.concatenate(labels)
    return TrackFeatures(np.arange(len(affect), dtype=float), torch.cat(features), torch.cat(single), affect, 1.0)
