"""Quantization of a network's convolutions to eight bits, which makes it faster and smaller.

Activations are unsigned eight bits, weights signed, each output channel by a scale of its own (post-training
quantization: Jacob et al. 2018, arXiv 1712.05877). Weights use seven of their bits: CPUs with AVX2 or AVX-512 but
without VNNI add pairs of products in sixteen bits, which eight bits would overflow, and estimates must not depend on
the CPU. All other operators stay in floating point.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

Feeds = Iterable[dict[str, NDArray[Any]]]
FOLLOWING = ("Relu", "Add")  # operators after a convolution that are quantized with it


class _Seen(CalibrationDataReader):
    """Inputs, one at a time, for the quantizer."""

    def __init__(self, feeds: Feeds) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._feeds, None)


def in_eight_bits(model: onnx.ModelProto, feeds: Feeds) -> onnx.ModelProto:
    """`model` with its convolutions in eight bits; `feeds` are typical inputs, which set the range of each
    activation."""
    with tempfile.TemporaryDirectory() as name:
        path, folded, quantised = (Path(name) / f"{stage}.onnx" for stage in ("float", "folded", "int8"))
        onnx.save(model, str(path))
        quant_pre_process(str(path), str(folded), skip_symbolic_shape=True)
        quantize_static(
            str(folded), str(quantised), _Seen(feeds), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, reduce_range=True,
            nodes_to_quantize=_convolutions(onnx.load(str(folded)).graph),
        )  # fmt: skip
        return _with_used_domains(onnx.load(str(quantised)))


def _convolutions(graph: onnx.GraphProto) -> list[str]:
    """Names of the convolutions and of the operators of `FOLLOWING` after them."""
    found, computed = [], set[str]()
    for node in graph.node:
        if node.op_type == "Conv" or (node.op_type in FOLLOWING and computed.issuperset(node.input)):
            found.append(node.name)
            computed.update(node.output)
    return found


def _with_used_domains(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` without declared operator sets that it does not use, so that every runtime that can run it loads it."""
    used = {node.domain for node in model.graph.node} | {""}
    kept = [opset for opset in model.opset_import if opset.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model
