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

from lowbeam.models.normalised import RestoringNetwork
from lowbeam.models.one_for_all import GRID, OneForAll, to_grid
from lowbeam.recognize import MODEL_FORMAT
from lowbeam.restore import RESTORER_FORMAT
from lowbeam.scale import FACE_SIDE


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
    _export(_Deployed(network.cpu()), path, GRID, ["affect", "std"])
    set_calibration(path, {GRID: (1.0, 1.0)})


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
    _export(_Restoring(network.cpu()), path, FACE_SIDE, ["restored"])
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


def _export(module: nn.Module, path: str | Path, side: int, outputs: list[str]) -> None:
    """Write `module` to `path`; it takes ``faces`` (n, d, d) and ``resample`` (`side`, d)."""
    example = (torch.zeros(2, 24, 24, dtype=torch.uint8), torch.zeros(side, 24))
    faces, faces_side = torch.export.Dim("n"), torch.export.Dim("d")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells what of torchvision it does without
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(), example, input_names=["faces", "resample"], output_names=outputs, dynamo=True,
            dynamic_shapes={"faces": {0: faces, 1: faces_side, 2: faces_side}, "resample": {1: faces_side}},
            verbose=False,
        )  # fmt: skip
    assert program is not None  # it is None only where dynamo=False
    program.save(str(path), external_data=False)


def set_calibration(path: str | Path, factors: dict[int, tuple[float, float]]) -> None:
    """Store in the file, for each face side in pixels, the factors on the deviations of valence and arousal."""
    sides = sorted(factors)
    about = {
        "format": MODEL_FORMAT,
        "grid": GRID,
        "calibration": {"side": sides, "factor": [[round(f, 4) for f in factors[side]] for side in sides]},
    }
    _set_about(path, "lowbeam", about)


def _set_about(path: str | Path, key: str, about: dict[str, Any]) -> None:
    model = onnx.load(str(path))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {key: json.dumps(about)})
    onnx.save(model, str(path))
