"""What one core can do at most, measured: large matrix products in floating point and in eight bits, by the library
that runs the networks."""

import statistics
import time

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

SIDE = 1024  # of the matrices
ROUNDS = 15


def peak() -> dict[str, float]:
    """Multiply-adds a second: of a product of float32 matrices (SGEMM), and of uint8 by int8."""
    rng = np.random.default_rng(0)
    floats = rng.standard_normal((2, SIDE, SIDE)).astype(np.float32)
    bytes_, weights = rng.integers(0, 256, (SIDE, SIDE), np.uint8), rng.integers(-63, 64, (SIDE, SIDE)).astype(np.int8)
    return {
        "float32": _rate(_product("MatMul", TensorProto.FLOAT, TensorProto.FLOAT, floats[1]), floats[0]),
        "int8": _rate(_product("MatMulInteger", TensorProto.UINT8, TensorProto.INT32, weights), bytes_),
    }


def _product(kind: str, given: int, computed: int, weights: NDArray) -> onnxruntime.InferenceSession:
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", "w"], ["y"])], "product",
        [helper.make_tensor_value_info("x", given, [SIDE, SIDE])],
        [helper.make_tensor_value_info("y", computed, [SIDE, SIDE])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _rate(session: onnxruntime.InferenceSession, x: NDArray) -> float:
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        session.run(None, {"x": x})
        times.append(time.perf_counter() - begun)
    return SIDE**3 / statistics.median(times)
