"""A trained network to the ONNX file that the street runs."""

import json
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from lowbeam.models.one_for_all import GRID, OneForAll, to_grid
from lowbeam.recognize import MODEL_FORMAT


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
    module = _Deployed(network.cpu()).eval()
    example = (torch.zeros(2, 24, 24, dtype=torch.uint8), torch.zeros(GRID, 24))
    faces, side = torch.export.Dim("n"), torch.export.Dim("d")
    program = torch.onnx.export(
        module, example, input_names=["faces", "resample"], output_names=["affect", "std"], dynamo=True,
        dynamic_shapes={"faces": {0: faces, 1: side, 2: side}, "resample": {1: side}}, verbose=False,
    )  # fmt: skip
    assert program is not None  # it is None only where dynamo=False
    program.save(str(path), external_data=False)
    set_calibration(path, {GRID: (1.0, 1.0)})


def set_calibration(path: str | Path, factors: dict[int, tuple[float, float]]) -> None:
    """Store in the file, for each face side in pixels, the factors on the deviations of valence and arousal."""
    sides = sorted(factors)
    about = {
        "format": MODEL_FORMAT,
        "grid": GRID,
        "calibration": {"side": sides, "factor": [[round(f, 4) for f in factors[side]] for side in sides]},
    }
    model = onnx.load(str(path))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {"lowbeam": json.dumps(about)})
    onnx.save(model, str(path))
