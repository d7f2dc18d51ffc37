"""One ONNX model of a network and its temporal head, which runs only on request."""

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper

REMEMBER = "remember"
INSIDE = "head/"  # prefix of each name in the branch


def with_memory(network: ModelProto, head: ModelProto, outputs: list[str]) -> ModelProto:
    """`network` joined with `head`, whose inputs are connected to the outputs of `network` of the same name. The faces
    of `network` are the tracks of `head`, person after person.

    The head runs where the input ``remember``, a bool, is true; its other inputs are then required. Without it, the
    head does not run and its outputs are empty, so that programs that estimate single faces need no further input. Of
    the outputs of `network`, `outputs` remain.
    """
    opsets = [{o.version for o in model.opset_import if not o.domain} for model in (network, head)]
    assert opsets[0] == opsets[1], opsets  # else the operators of the head would mean something else
    assert not head.functions
    branch = compose.add_prefix(_in_one_row(head), INSIDE, rename_inputs=False).graph
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


def _in_one_row(head: ModelProto) -> ModelProto:
    """`head`, whose inputs and outputs are (people, faces, …) but for those that are states, with the first two axes of
    the others in one. The number of people is that of ``state``."""
    flat = ModelProto()
    flat.CopyFrom(head)
    graph = flat.graph
    before = [helper.make_node("Shape", ["state"], ["people"], start=0, end=1)]
    for given in [value for value in graph.input if value.name != "state"]:
        names = [f"{given.name}_{part}" for part in ("rest", "shape", "tracks")]
        before += [
            helper.make_node("Constant", [], names[:1], value=_merge_first_axes(given)),
            helper.make_node("Concat", ["people", names[0]], names[1:2], axis=0),
            helper.make_node("Reshape", [given.name, names[1]], names[2:]),
        ]
        _rename(graph.node, given.name, names[2])
    after = []
    for found in [value for value in graph.output if not value.name.endswith("state")]:
        names = [f"{found.name}_{part}" for part in ("shape", "tracks")]
        _rename(graph.node, found.name, names[1])
        after += [
            helper.make_node("Constant", [], names[:1], value=_merge_first_axes(found)),
            helper.make_node("Reshape", [names[1], names[0]], [found.name]),
        ]
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    return flat


def _merge_first_axes(value: onnx.ValueInfoProto) -> TensorProto:
    """Merge the first two axes of `value`; returns the other sizes after a -1, as for a Reshape."""
    dims = value.type.tensor_type.shape.dim
    del dims[1]
    return numpy_helper.from_array(np.array([-1, *(dim.dim_value for dim in dims[1:])], np.int64))


def _rename(nodes: Iterable[NodeProto], name: str, new: str) -> None:
    for node in nodes:
        node.input[:] = [new if one == name else one for one in node.input]
        node.output[:] = [new if one == name else one for one in node.output]


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
