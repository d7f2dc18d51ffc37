"""The end of a run: its networks as a calibrated ONNX file."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lowbeam.files import whole_file
from lowbeam.models.export import export_onnx, export_video_onnx
from lowbeam.models.one_for_all import GRID, OneForAll
from lowbeam.models.temporal import TemporalHead
from lowbeam.scale import FACE_SIDE, SCALES, Faces, resample, resample_matrix, shrink
from lowbeam.train.calibrate import (
    FACTOR_ONLY,
    POWERS,
    Sample,
    calibrate,
    calibrate_expressions,
    calibrate_tracks,
)  # fmt: skip
from lowbeam.train.degrade import on_grid
from lowbeam.train.recognizer_recipe import RecognizerRecipe
from lowbeam.train.training_data import TrainingData

TYPICAL_ROUNDS, TYPICAL_FACES = 6, 32


def export_calibrated(
    network: OneForAll, head: TemporalHead | None, recipe: RecognizerRecipe, data: TrainingData, valid: TrainingData,
    folder: Path,
) -> Path:  # fmt: skip
    """Write the ONNX file of a run to `folder`, and return its path. Standard deviations are calibrated on `valid`, and
    the ranges of the activations of an int8 model are measured on `data`."""
    path = folder / f"{recipe.name}.onnx"
    inputs = _typical_inputs(data, recipe.seed) if recipe.int8 else None
    with whole_file(path) as beside:
        if head is None:
            export_onnx(network, beside, inputs)
        else:
            export_video_onnx(network, head, beside, inputs)
        calibrate(beside, valid_samples(valid), POWERS if valid.stills else FACTOR_ONLY)
        if valid.stills:
            calibrate_expressions(beside, valid_samples(valid))
        if head is not None:
            calibrate_tracks(beside, _track_samples(valid))
    return path


def valid_samples(valid: TrainingData) -> list[Sample]:
    """LR faces of every scale, uncoded and coded: of each corpus of stills, or of the recordings where there are no
    stills."""
    if not valid.stills:
        return _track_samples(valid)
    samples = []
    for number, corpus in enumerate(valid.stills):
        hr, labels = corpus.faces.faces(), (corpus.faces.affect, None, corpus.faces.emotion)
        for scale in SCALES:
            samples.append(Sample(f"uncoded {number}", shrink(hr, scale), *labels))
            samples += [Sample(f"coded {number}", found.pixels[scale], *labels) for found in corpus.coded]
    return samples


def _track_samples(valid: TrainingData) -> list[Sample]:
    return [Sample(track.codec, track.pixels, track.affect, track.time_s) for track in valid.coded_tracks]


def _typical(data: TrainingData, seed: int) -> Iterator[Faces]:
    """LR faces as the network is given them in use: at every scale, uncoded and coded."""
    rng = np.random.default_rng(seed)
    tracks = {scale: [track for track in data.coded_tracks if track.scale == scale] for scale in SCALES}
    for round_, scale in product(range(max(TYPICAL_ROUNDS, len(data.stills))), SCALES):
        corpus = data.stills[round_ % len(data.stills)] if data.stills else None
        faces = data.people if corpus is None else corpus.faces
        assert faces is not None
        rows = np.sort(rng.integers(len(faces), size=TYPICAL_FACES))
        yield shrink(resample(np.asarray(faces.pixels[rows]), FACE_SIDE), scale)
        if corpus is not None:
            yield from (found.pixels[scale][rows] for found in corpus.coded[:1])
        elif tracks[scale]:
            track = tracks[scale][rng.integers(len(tracks[scale]))]
            yield track.pixels[rng.integers(len(track.pixels), size=TYPICAL_FACES)]


def typical_grids(data: TrainingData, seed: int) -> Iterator[torch.Tensor]:
    """Faces as the network is given them in use, on its grid: (n, 1, 48, 48), at every scale, uncoded and coded."""
    return (on_grid(torch.from_numpy(faces)) for faces in _typical(data, seed))


def _typical_inputs(data: TrainingData, seed: int) -> Iterator[dict[str, NDArray[Any]]]:
    """Inputs of the ONNX model, by which the ranges of its activations are set."""
    for faces in _typical(data, seed):
        yield {"faces": faces, "resample": resample_matrix(faces.shape[1], GRID)}
