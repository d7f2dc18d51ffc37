"""A trained network to the ONNX file that the street runs."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from lowbeam.models.normalised import RestoringNetwork, normalise
from lowbeam.models.one_for_all import GRID, OneForAll, to_grid
from lowbeam.models.paper import CnnD
from lowbeam.models.temporal import TemporalHead
from lowbeam.recognize import MODEL_FORMAT
from lowbeam.restore import RESTORER_FORMAT
from lowbeam.scale import FACE_SIDE

EXAMPLE_FACES = (torch.zeros(2, 24, 24, dtype=torch.uint8),)  # to trace by


class _Deployed(nn.Module):
    """Grey levels in, affect and its uncalibrated deviation out: the whole graph that ships."""

    def __init__(self, network: OneForAll) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor, resample: Tensor) -> tuple[Tensor, Tensor]:
        affect, log_variance, _ = self.network(to_grid(faces, resample))
        return affect.clamp(-1, 1), torch.exp(0.5 * log_variance)


def export_onnx(network: OneForAll, path: str | Path) -> None:
    """Write `network` to `path`, not yet calibrated.

    Inputs ``faces`` uint8 (n, d, d) and ``resample`` float32 (48, d) (`lowbeam.scale.resample_matrix`); outputs
    ``affect`` and ``std`` float32 (n, 2), valence first.
    """
    _export_faces(_Deployed(network.cpu()), path, GRID, ["affect", "std"])
    set_calibration(path, {GRID: (1.0, 1.0)})


class _DeployedVideo(nn.Module):
    """As `_Deployed`, and the head that remembers, over faces that are one run."""

    def __init__(self, network: OneForAll, head: TemporalHead) -> None:
        super().__init__()
        self.network, self.head = network, head

    def forward(
        self, faces: Tensor, resample: Tensor, gaps_s: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        features = self.network.features(to_grid(faces, resample))
        affect, log_variance, _ = self.network.read(features)
        still = torch.cat([affect, log_variance], 1)
        steady, steady_log_variance, after = self.head(features[None], still[None], gaps_s[None], state[None])
        return (
            affect.clamp(-1, 1), torch.exp(0.5 * log_variance), steady[0].clamp(-1, 1),
            torch.exp(0.5 * steady_log_variance[0]), after[0],
        )  # fmt: skip


def export_video_onnx(network: OneForAll, head: TemporalHead, path: str | Path) -> None:
    """Write `network` with its `head` to `path`, not yet calibrated.

    Inputs and outputs are those of `export_onnx`, of each face by itself; and for faces that are one run, in order,
    inputs ``gaps_s`` float32 (n,), the seconds since the face before, and ``state`` float32 (spans, channels), zeros
    where nothing was seen; outputs ``steady_affect`` and ``steady_std`` float32 (n, 2), and ``next_state``.
    """
    example = (
        *EXAMPLE_FACES,
        torch.zeros(GRID, EXAMPLE_FACES[0].shape[1]),
        torch.zeros(2),
        torch.zeros(*head.state_shape),
    )
    faces, side = torch.export.Dim("n"), torch.export.Dim("d")
    _export(
        _DeployedVideo(network.cpu(), head.cpu()), path, example,
        {"faces": {0: faces, 1: side, 2: side}, "resample": {1: side}, "gaps_s": {0: faces}, "state": None},
        ["affect", "std", "steady_affect", "steady_std", "next_state"],
    )  # fmt: skip
    set_calibration(path, {GRID: (1.0, 1.0)}, {GRID: (1.0, 1.0)})


class _DeployedCnnD(nn.Module):
    """The paper's recognizer as `_Deployed`; it knows no deviation but that of all its readings, `spread` (2,)."""

    spread: Tensor

    def __init__(self, network: CnnD, std: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("spread", std)

    def forward(self, faces: Tensor, resample: Tensor) -> tuple[Tensor, Tensor]:
        wide = torch.matmul(resample, torch.matmul(faces.float(), resample.T)).round().clamp(0.0, 255.0)
        affect = self.network(normalise(wide)[0])
        return affect.clamp(-1, 1), self.spread.expand(affect.shape[0], 2)


def export_cnn_d(network: CnnD, std: tuple[float, float], path: str | Path) -> None:
    """Write a network of the paper's experiment to `path`, as `export_onnx` does; `std` is the deviation that readings
    of valence and of arousal are given."""
    _export_faces(_DeployedCnnD(network.cpu(), torch.tensor(std)), path, FACE_SIDE, ["affect", "std"])
    set_calibration(path, {FACE_SIDE: (1.0, 1.0)}, grid=FACE_SIDE)


class _Restoring(nn.Module):
    """Grey levels in and out: the restorer that ships."""

    def __init__(self, network: RestoringNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor, resample: Tensor) -> Tensor:
        wide = torch.matmul(resample, torch.matmul(faces.float(), resample.T)).round().clamp(0, 255)
        return self.network.restore(wide).round().to(torch.uint8)


def export_restorer(network: RestoringNetwork, path: str | Path) -> None:
    """Write `network` to `path`.

    Inputs ``faces`` uint8 (n, d, d) and ``resample`` float32 (96, d) (`lowbeam.scale.resample_matrix`); output
    ``restored`` uint8 (n, 96, 96). Weights are stored in float16 and computed with in float32: half the size, and the
    pictures are the same to a grey level.
    """
    _export_faces(_Restoring(network.cpu()), path, FACE_SIDE, ["restored"])
    _halve_weights(path)
    _set_about(path, "lowbeam-restorer", {"format": RESTORER_FORMAT})


def _halve_weights(path: str | Path) -> None:
    model = onnx.load(str(path))
    graph = model.graph
    for weight in [w for w in graph.initializer if w.data_type == onnx.TensorProto.FLOAT and len(w.dims) > 1]:
        half = onnx.numpy_helper.from_array(
            onnx.numpy_helper.to_array(weight).astype(np.float16), f"{weight.name}_half"
        )
        graph.initializer.remove(weight)
        graph.initializer.append(half)
        graph.node.insert(0, onnx.helper.make_node("Cast", [half.name], [weight.name], to=onnx.TensorProto.FLOAT))
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _export_faces(module: nn.Module, path: str | Path, side: int, outputs: list[str]) -> None:
    """Write `module` to `path`; it takes ``faces`` (n, d, d) and ``resample`` (`side`, d)."""
    faces, faces_side = torch.export.Dim("n"), torch.export.Dim("d")
    shapes = {"faces": {0: faces, 1: faces_side, 2: faces_side}, "resample": {1: faces_side}}
    _export(module, path, (*EXAMPLE_FACES, torch.zeros(side, EXAMPLE_FACES[0].shape[1])), shapes, outputs)


def _export(
    module: nn.Module, path: str | Path, example: tuple[Tensor, ...], shapes: dict[str, Any], outputs: list[str]
) -> None:
    """Write `module` to `path`, with inputs of the names and dynamic `shapes` given."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells what of torchvision it does without
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(), example, input_names=list(shapes), output_names=outputs, dynamo=True, dynamic_shapes=shapes,
            verbose=False,
        )  # fmt: skip
    assert program is not None  # it is None only where dynamo=False
    program.save(str(path), external_data=False)


Factors = dict[int, tuple[float, float]]  # of each face side in pixels: on the deviations of valence and arousal


def set_calibration(path: str | Path, factors: Factors, steady: Factors | None = None, grid: int = GRID) -> None:
    """Store in the file the factors on the deviations; with `steady`, those on the readings of a model that
    remembers. `grid` is the side that the model resamples faces to."""
    metadata = {entry.key: entry.value for entry in onnx.load(str(path), load_external_data=False).metadata_props}
    about = json.loads(metadata.get("lowbeam", "{}")) | {"format": MODEL_FORMAT, "grid": grid}
    if factors:
        about["calibration"] = _table(factors)
    if steady is not None:
        about["memory"] = {"calibration": _table(steady)}
    _set_about(path, "lowbeam", about)


def _table(factors: Factors) -> dict[str, list]:
    sides = sorted(factors)
    return {"side": sides, "factor": [[round(f, 4) for f in factors[side]] for side in sides]}


def _set_about(path: str | Path, key: str, about: dict[str, Any]) -> None:
    model = onnx.load(str(path))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {key: json.dumps(about)})
    onnx.save(model, str(path))
