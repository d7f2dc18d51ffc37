"""Parts of the shipped recognizers, cut from their ONNX files."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.utils import extract_model

from lowbeam.onnx_session import OnnxSession
from lowbeam.recognize import MAX_BATCH, model_path
from lowbeam.scale import Faces, checked_side, resample_matrix

POOLED = "features"  # the last tensor before the linear layer
ACTIVE = ("Conv", "Add")  # their outputs are activations: a rectifier that follows is fused into their quantisation
Floats = NDArray[np.float32]


def part_of(model: str, inputs: list[str], outputs: list[str]) -> OnnxSession:
    """The part of `model` (a shipped model or a path) between the tensors `inputs` and `outputs`. Raises
    `ModelError`."""
    with TemporaryDirectory() as folder:
        place = Path(folder) / "part.onnx"
        extract_model(str(model_path(model)), str(place), inputs, outputs)
        return OnnxSession(place, None)


def stage_cuts(model: str) -> list[str]:
    """Names of the tensors at which `model` can be cut, in order of depth: the last activation of each stage, a stage
    being all layers whose outputs have the same size, and the pooled features. Raises `ModelError`."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(str(model_path(model)))).graph
    sides = {value.name: value.type.tensor_type.shape.dim[2].dim_value for value in graph.value_info if _is_map(value)}
    last = {sides[node.output[0]]: node.output[0] for node in graph.node if node.op_type in ACTIVE and _in(node, sides)}
    return [*last.values(), POOLED]


def _is_map(value: onnx.ValueInfoProto) -> bool:
    """Whether it has channels of more than one pixel, which the mean and contrast of a face have not."""
    dim = value.type.tensor_type.shape.dim
    return len(dim) == 4 and dim[2].dim_value > 1


def _in(node: onnx.NodeProto, sides: dict[str, int]) -> bool:
    return node.output[0] in sides


def inputs_of(faces: Faces, grid: int) -> dict[str, NDArray[np.generic]]:
    """The inputs of a network that resamples `faces`, uint8 (n, d, d), to `grid` pixels itself. Raises `UsageError`."""
    return {"faces": faces, "resample": resample_matrix(checked_side(faces), grid)}


def features_of(session: OnnxSession, cut: str, faces: Faces, grid: int) -> Floats:
    """The tensor `cut` of `faces`, uint8 (n, d, d), by a part from ``faces`` and ``resample`` to it, float32 (n, …)."""
    parts = [faces[start : start + MAX_BATCH] for start in range(0, len(faces), MAX_BATCH)]
    return np.concatenate([session.run([cut], inputs_of(part, grid))[0] for part in parts])


def grid_of(path: Path) -> int:
    """The side in pixels to which the network at `path` resamples faces: the first dimension of ``resample``."""
    given = {value.name: value.type.tensor_type.shape.dim for value in onnx.load(str(path)).graph.input}
    return int(given["resample"][0].dim_value)
