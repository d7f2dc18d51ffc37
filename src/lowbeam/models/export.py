"""Export of trained networks to the ONNX files that lowbeam runs."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from lowbeam.models.eight_bits import Feeds, in_eight_bits
from lowbeam.models.memory_branch import with_memory
from lowbeam.models.normalised import RestorationNetwork, normalise
from lowbeam.models.one_for_all import GRID, OneForAll, to_patches
from lowbeam.models.paper import CnnD
from lowbeam.models.temporal import TemporalHead
from lowbeam.recognize import MEMORY_FORMAT, MODEL_FORMAT
from lowbeam.restore import RESTORER_FORMAT
from lowbeam.scale import FACE_SIDE

OUTPUTS = ["affect", "std", "logits"]  # of each face by itself
EXAMPLE_FACES = (torch.zeros(2, 24, 24, dtype=torch.uint8),)  # to trace by


def _features(network: OneForAll, faces: Tensor, resample: Tensor) -> Tensor:
    return network.features_of_patches(to_patches(faces, resample, network.trunk.size.patch))


class _Deployed(nn.Module):
    """From grey levels to affect, its uncalibrated standard deviation, and logits of expressions: the whole graph that
    ships."""

    def __init__(self, network: OneForAll) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor, resample: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        affect, log_variance, logits = self.network.read(_features(self.network, faces, resample))
        return affect.clamp(-1, 1), torch.exp(0.5 * log_variance), logits


def export_onnx(network: OneForAll, path: str | Path, seen: Feeds | None = None) -> None:
    """Write `network` to `path`, not yet calibrated: in floating point or, with `seen`, typical inputs, with its
    convolutions in eight bits.

    Inputs ``faces`` uint8 (n, d, d) and ``resample`` float32 (48, d) (`lowbeam.scale.resample_matrix`); outputs
    ``affect`` and ``std`` float32 (n, 2), valence first, and ``logits`` float32 (n, 8), in the order of
    `lowbeam.face.Expressions`.
    """
    model = traced_faces(_Deployed(network.cpu()), GRID, OUTPUTS)
    onnx.save(model if seen is None else in_eight_bits(model, seen), str(path))
    set_calibration(path, {GRID: AS_IT_IS})


class _DeployedWithFeatures(nn.Module):
    """As `_Deployed`, with the inputs of the temporal head."""

    def __init__(self, network: OneForAll) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor, resample: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        features = _features(self.network, faces, resample)
        affect, log_variance, logits = self.network.read(features)
        single = torch.cat([affect, log_variance], 1)
        return affect.clamp(-1, 1), torch.exp(0.5 * log_variance), logits, features, single


class _DeployedHead(nn.Module):
    """The temporal head, for the tracks of several people with as many faces each."""

    def __init__(self, head: TemporalHead) -> None:
        super().__init__()
        self.head = head

    def forward(self, features: Tensor, single: Tensor, gaps_s: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        affect, log_variance, after = self.head(features, single, gaps_s, state)
        return affect.clamp(-1, 1), torch.exp(0.5 * log_variance), after


def deployed_head(head: TemporalHead, features: int) -> onnx.ModelProto:
    """`head`, of a network with so many `features`, as an ONNX model for `with_memory`."""
    people, length = torch.export.Dim("p"), torch.export.Dim("t")
    example = (torch.zeros(2, 3, features), torch.zeros(2, 3, 4), torch.zeros(2, 3), torch.zeros(2, *head.state_shape))
    track = {0: people, 1: length}
    shapes = {"features": track, "single": track, "gaps_s": track, "state": {0: people}}
    return traced(_DeployedHead(head.cpu()), example, shapes, ["steady_affect", "steady_std", "next_state"])


def export_video_onnx(network: OneForAll, head: TemporalHead, path: str | Path, seen: Feeds | None = None) -> None:
    """Write `network` with its `head` to `path`, as `export_onnx` does, not yet calibrated.

    Inputs and outputs are those of `export_onnx`, for each face by itself. Where the input ``remember``, a bool, is
    true, the faces are the tracks of p people with n / p faces each, person after person and each in order, with the
    inputs ``gaps_s`` float32 (n,), the seconds since the person's face before, and ``state`` float32 (p, spans,
    channels), zeros for a new track; outputs are ``steady_affect`` and ``steady_std`` float32 (n, 2), and
    ``next_state`` (p, spans, channels). Without ``remember`` these outputs are empty.
    """
    model = traced_faces(_DeployedWithFeatures(network.cpu()), GRID, [*OUTPUTS, "features", "single"])
    if seen is not None:
        model = in_eight_bits(model, seen)
    onnx.save(with_memory(model, deployed_head(head, network.width), OUTPUTS), str(path))
    set_calibration(path, {GRID: AS_IT_IS}, {GRID: AS_IT_IS})


class _DeployedCnnD(nn.Module):
    """The paper's recognizer as `_Deployed`; its standard deviation is one constant, `spread` (2,)."""

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
    """Write a network of the paper's experiment to `path`, as `export_onnx` does; `std` is the standard deviation of
    all estimates of valence and of arousal."""
    onnx.save(traced_faces(_DeployedCnnD(network.cpu(), torch.tensor(std)), FACE_SIDE, ["affect", "std"]), str(path))
    set_calibration(path, {FACE_SIDE: AS_IT_IS}, grid=FACE_SIDE)


class _Restoring(nn.Module):
    """From grey levels to grey levels: the restoration model that ships."""

    def __init__(self, network: RestorationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, faces: Tensor, resample: Tensor) -> Tensor:
        wide = torch.matmul(resample, torch.matmul(faces.float(), resample.T)).round().clamp(0, 255)
        return self.network.restore(wide).round().to(torch.uint8)


def export_restorer(network: RestorationNetwork, path: str | Path) -> None:
    """Write `network` to `path`.

    Inputs ``faces`` uint8 (n, d, d) and ``resample`` float32 (96, d) (`lowbeam.scale.resample_matrix`); output
    ``restored`` uint8 (n, 96, 96). Weights are stored in float16 and computed with in float32: half the size, and the
    pictures are the same to a grey level.
    """
    model = traced_faces(_Restoring(network.cpu()), FACE_SIDE, ["restored"])
    halve_weights(model)
    onnx.save(model, str(path))
    set_about(path, "lowbeam-restorer", {"format": RESTORER_FORMAT})


def halve_weights(model: onnx.ModelProto) -> None:
    """Store the weights of `model` in float16; they are computed with in float32."""
    graph = model.graph
    for weight in [w for w in graph.initializer if w.data_type == onnx.TensorProto.FLOAT and len(w.dims) > 1]:
        half = onnx.numpy_helper.from_array(
            onnx.numpy_helper.to_array(weight).astype(np.float16), f"{weight.name}_half"
        )
        graph.initializer.remove(weight)
        graph.initializer.append(half)
        graph.node.insert(0, onnx.helper.make_node("Cast", [half.name], [weight.name], to=onnx.TensorProto.FLOAT))
    onnx.checker.check_model(model)


def traced_faces(module: nn.Module, side: int, outputs: list[str]) -> onnx.ModelProto:
    """`module`, which takes ``faces`` (n, d, d) and ``resample`` (`side`, d), as an ONNX model."""
    faces, faces_side = torch.export.Dim("n"), torch.export.Dim("d")
    shapes = {"faces": {0: faces, 1: faces_side, 2: faces_side}, "resample": {1: faces_side}}
    return traced(module, (*EXAMPLE_FACES, torch.zeros(side, EXAMPLE_FACES[0].shape[1])), shapes, outputs)


def traced(
    module: nn.Module, example: tuple[Tensor, ...], shapes: dict[str, Any], outputs: list[str]
) -> onnx.ModelProto:
    """`module` as an ONNX model, with inputs of the names and dynamic `shapes` given."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is missing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(), example, input_names=list(shapes), output_names=outputs, dynamo=True, dynamic_shapes=shapes,
            verbose=False,
        )  # fmt: skip
    assert program is not None  # it is None only where dynamo=False
    return program.model_proto


class Fit(NamedTuple):
    """A calibration of standard deviations: ``factor * std**power``."""

    factor: float = 1.0
    power: float = 1.0


AS_IT_IS = (Fit(), Fit())
Fits = dict[int, tuple[Fit, Fit]]  # by face side in pixels: of valence and of arousal


def set_calibration(path: str | Path, fits: Fits, steady: Fits | None = None, grid: int = GRID) -> None:
    """Store the calibration in the file; `steady` is that of estimates with the temporal head. `grid` is the side in
    pixels to which the model resamples faces."""
    about = _about(path) | {"grid": grid}
    if fits:
        about["calibration"] = _table(fits)
    if steady is not None:
        about["memory"] = {"calibration": _table(steady)}
    about["format"] = MEMORY_FORMAT if "memory" in about else MODEL_FORMAT
    set_about(path, "lowbeam", about)


def set_temperatures(path: str | Path, temperatures: dict[int, float]) -> None:
    """Store by which the logits of expressions are divided, by face side in pixels."""
    sides = sorted(temperatures)
    found = {"side": sides, "temperature": [round(temperatures[side], 4) for side in sides]}
    set_about(path, "lowbeam", _about(path) | {"expressions": found})


def _about(path: str | Path) -> dict[str, Any]:
    """The metadata of the file."""
    entries = onnx.load(str(path), load_external_data=False).metadata_props
    about: dict[str, Any] = json.loads({entry.key: entry.value for entry in entries}.get("lowbeam", "{}"))
    return about


def _table(fits: Fits) -> dict[str, list]:
    sides = sorted(fits)
    columns = {name: [[round(getattr(f, name), 4) for f in fits[side]] for side in sides] for name in Fit._fields}
    return {"side": sides} | columns


def set_about(path: str | Path, key: str, about: dict[str, Any]) -> None:
    """Store `about` as the only metadata of the file, under `key`."""
    model = onnx.load(str(path))
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {key: json.dumps(about)})
    onnx.save(model, str(path))
