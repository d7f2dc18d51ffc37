"""The networks of an ONNX file of `lowbeam train`, as PyTorch modules that can be trained on.

Weights are found by the names that export gave them. In the file batch normalization is folded into the convolutions,
and an int8 file holds their weights in eight bits; both are undone: weights are dequantized, and each batch
normalization becomes the identity with a bias, until `restore_statistics` gives it the statistics of data.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from lowbeam.errors import ModelError
from lowbeam.models.average import as_identity, norm_of
from lowbeam.models.memory_branch import INSIDE
from lowbeam.models.one_for_all import GRID, OUT_SIDE, OneForAll, Size, Trunk
from lowbeam.models.temporal import TemporalHead

UNREADABLE = (
    LookupError, ValueError, TypeError, AttributeError, RuntimeError, OSError, StopIteration, DecodeError,
)  # fmt: skip

Arrays = dict[str, NDArray[Any]]


def recover(path: str | Path) -> tuple[OneForAll, TemporalHead | None]:
    """The network of the ONNX file at `path`, and its temporal head where it has one, in evaluation mode.

    Raises `ModelError` where the file is not a One-for-All model.
    """
    try:
        model = onnx.load(str(path))
        arrays = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
        network = _network(arrays)
        branches = [a.g for node in model.graph.node if node.op_type == "If" for a in node.attribute]
        heads = [branch for branch in branches if any(n.name.startswith(INSIDE) for n in branch.node)]
        head = _head(heads[0], network.width) if heads else None
        if not all(value.isfinite().all() for part in (network, head) if part for value in part.state_dict().values()):
            raise ValueError("weights that are not finite")
    except UNREADABLE as error:
        raise ModelError(f"{path} is not a One-for-All model: it cannot be trained further") from error
    return network.eval(), None if head is None else head.eval()


def _network(arrays: Arrays) -> OneForAll:
    convolutions = dict(_convolutions(arrays))
    network = OneForAll(Trunk(_size(convolutions)))
    modules = dict(network.named_modules())
    expected = {name for name, module in modules.items() if isinstance(module, nn.Conv2d)}
    if expected != set(convolutions):
        raise ValueError("convolutions of another network")
    with torch.no_grad():
        for name, (weight, bias) in convolutions.items():
            modules[name].weight.copy_(torch.from_numpy(weight))
            as_identity(norm_of(modules, name), torch.from_numpy(bias))
        for part in ("weight", "bias"):
            getattr(network.readout, part).copy_(torch.from_numpy(arrays[f"network.readout.{part}"].copy()))
    return network


def _convolutions(arrays: Arrays) -> Iterator[tuple[str, tuple[NDArray[Any], NDArray[Any]]]]:
    """Module name, weight and bias of each convolution, by the names of its arrays."""
    for name in arrays:
        if not name.startswith("network.trunk."):
            continue
        if name.endswith(".weight_quantized"):
            stem = name.removesuffix("_quantized")
            scale, zero = arrays[f"{stem}_scale"], arrays[f"{stem}_zero_point"]
            weight = (arrays[name].astype(np.float32) - zero.reshape(-1, 1, 1, 1)) * scale.reshape(-1, 1, 1, 1)
            bias = arrays[f"{stem}_bias_quantized"].astype(np.float32) * arrays[f"{stem}_bias_quantized_scale"]
        elif name.endswith(".weight"):
            stem, weight = name, arrays[name].copy()
            bias = arrays[f"{stem}_bias"].copy()
        else:
            continue
        yield stem.removeprefix("network.").removesuffix(".weight"), (weight, bias)


def _size(convolutions: dict[str, tuple[NDArray[Any], NDArray[Any]]]) -> Size:
    """The size of the trunk, by its layers in order: one convolution begins each stage, two make a residual block."""
    layers: dict[int, list[NDArray[Any]]] = {}
    for name, (weight, _) in convolutions.items():
        layers.setdefault(int(name.split(".")[1]), []).append(weight)
    stages: list[list[int]] = []
    for _, weights in sorted(layers.items()):
        if len(weights) == 1:
            stages.append([weights[0].shape[0], 0])
        else:
            stages[-1][1] += 1
    patch = round(float(layers[min(layers)][0].shape[1]) ** 0.5)
    if patch * 2 ** (len(stages) - 1) != GRID // OUT_SIDE:
        raise ValueError("stages of another network")
    return Size(patch, tuple((channels, blocks) for channels, blocks in stages))


@torch.no_grad()
def restore_statistics(network: OneForAll, grids: Iterable[Tensor]) -> None:
    """Give each batch normalization the statistics of its input on `grids`, (n, 1, 48, 48) each, and change its weight
    and bias so that the network computes the same as before.

    After `recover` this is what training needs: in training mode each batch is normalized by its own statistics.
    """
    sums: dict[nn.BatchNorm2d, list[Tensor]] = {}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        values = inputs[0].transpose(0, 1).flatten(1).double()
        parts = [torch.tensor(values.shape[1], dtype=torch.double), values.sum(1), values.square().sum(1)]
        sums[norm] = [a + b for a, b in zip(sums[norm], parts, strict=True)] if norm in sums else parts

    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    network.eval()
    for grid in grids:
        network.features(grid)
    for hook in hooks:
        hook.remove()
    for norm, (count, total, squares) in sums.items():
        assert norm.running_mean is not None
        assert norm.running_var is not None
        gain = norm.weight / (norm.running_var + norm.eps).sqrt()
        offset = norm.bias - norm.running_mean * gain
        mean, variance = total / count, (squares / count - (total / count).square()).clamp_min(0)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_(gain * (norm.running_var + norm.eps).sqrt())
        norm.bias.copy_(offset + norm.running_mean * gain)


def _head(branch: onnx.GraphProto, features: int) -> TemporalHead:
    """The temporal head by the graph that runs it: each bias has its name, each weight is what is multiplied before
    that bias is added."""
    arrays = {entry.name: numpy_helper.to_array(entry) for entry in branch.initializer}
    made_by = {output: node for node in branch.node for output in node.output}
    head = TemporalHead(features)
    state = {"memory.log_span": torch.from_numpy(-np.log(arrays[f"{INSIDE}exp"].astype(np.float64))).float()}
    prefix = f"{INSIDE}head."
    for node in branch.node:
        biases = [name for name in node.input if name.startswith(prefix) and name.endswith(".bias")]
        if not biases:
            continue
        (product,) = (made_by[name] for name in node.input if name not in biases)
        weight = next(arrays[name] for name in product.input if name in arrays)
        layer = biases[0].removeprefix(prefix).removesuffix(".bias")
        state[f"{layer}.bias"] = torch.from_numpy(arrays[biases[0]].copy())
        state[f"{layer}.weight"] = torch.from_numpy(weight.T.copy())
    head.load_state_dict(state)
    return head
