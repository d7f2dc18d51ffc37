"""One ONNX model of a network and its temporal head, which runs only on request."""

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, TensorProto, compose, helper, numpy_helper

REMEMBER = "remember"
INSIDE = "head/"  # prefix of each name in the branch


def with_memory(network: ModelProto, head: ModelProto, outputs: list[str]) -> ModelProto:
    """`network` joined with `head`, whose inputs are connected to the outputs of `network` of the same name.

    The head runs where the input ``remember``, a bool, is true; its other inputs are then required. Without it, the
    head does not run and its outputs are empty, so that programs that estimate single faces need no further input. Of
    the outputs of `network`, `outputs` remain.
    """
    opsets = [{o.version for o in model.opset_import if not o.domain} for model in (network, head)]
    assert opsets[0] == opsets[1], opsets  # else the operators of the head would mean something else
    assert not head.functions
    branch = compose.add_prefix(head, INSIDE, rename_inputs=False).graph
    steady = [output.name.removeprefix(INSIDE) for output in branch.output]
    joined = ModelProto()
    joined.CopyFrom(network)
    graph = joined.graph
    computed = {output.name for output in graph.output}
    for given in [value for value in branch.input if value.name not in computed]:
        shape = [dim.dim_value or 1 for dim in given.type.tensor_type.shape.dim]
        _optional(graph, given, np.zeros(shape, np.float32))
    _optional(graph, helper.make_tensor_value_info(REMEMBER, TensorProto.BOOL, []), np.array(False))
    remain = [value for value in graph.output if value.name in outputs]
    remain += [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * len(inner.type.tensor_type.shape.dim))
        for name, inner in zip(steady, branch.output, strict=True)
    ]
    nothing = _nothing(branch)
    del branch.input[:]  # a branch sees the names outside it
    graph.node.append(helper.make_node("If", [REMEMBER], steady, then_branch=branch, else_branch=nothing))
    del graph.output[:]
    graph.output.extend(remain)
    onnx.checker.check_model(joined)
    return joined


def _optional(graph: GraphProto, given: onnx.ValueInfoProto, default: np.ndarray) -> None:
    graph.input.append(given)
    graph.initializer.append(numpy_helper.from_array(default, given.name))


def _nothing(branch: GraphProto) -> GraphProto:
    """A branch with the outputs of `branch`, all of them empty."""
    nodes, outputs = [], []
    for output in branch.output:
        shape = [0, *(dim.dim_value or 1 for dim in output.type.tensor_type.shape.dim[1:])]
        name = output.name.replace(INSIDE, "nothing/", 1)
        nodes.append(
            helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.zeros(shape, np.float32)))
        )
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return helper.make_graph(nodes, "nothing", [], outputs)
