"""Constant folding: computes values that depend only on constants, and fixed shapes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from math import prod

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeprune.errors import ModelError
from edgeprune.operator_facts.onnx_operators import ONNX

_MOST_ELEMENTS = 1 << 28
_MOST_VISITED = 100_000
"""Limit of nodes in all rounds together, which take some seconds. ``_ROUNDS`` rounds are always allowed."""
_ROUNDS = 64


def folded(model: ModelProto) -> ModelProto:
    """Return a copy of ``model`` with inferred shapes, in which results replace nodes that compute constants.

    Each round infers shapes and then runs nodes whose inputs are constants, until there are no such nodes. A node runs
    only if the size of its result is known, so that a small file cannot require an unlimited amount of memory.

    Raises:
        ModelError: A constant would have more than 2^28 elements, or there are too many rounds.
    """
    model = _without_stated_sizes(model)
    visited = rounds = 0
    while True:
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        visited, rounds = visited + len(model.graph.node), rounds + 1
        if rounds > _ROUNDS and visited > _MOST_VISITED:
            raise ModelError(f"its shapes depend on constants that need more than {_ROUNDS} rounds of constant folding")
        initializers = {tensor.name for tensor in model.graph.initializer}
        constants = set(initializers)
        shapes = _shapes(model)
        # The shapes of the model's outputs are stated in the file, not inferred.
        inferred = shapes.keys() - {value.name for value in model.graph.output}
        constant: list[NodeProto] = []
        remaining: list[NodeProto] = []
        sized: list[TensorProto] = []
        for node in model.graph.node:
            if node.op_type == "Shape" and node.input[0] in shapes:
                sized.append(_size_of(node, shapes[node.input[0]]))
                constants.update(node.output)
            elif not ONNX[node.op_type].cannot_fold and _is_constant(
                node, constants if _is_sized(node, inferred) else initializers
            ):
                constant.append(node)
                constants.update(node.output)
            else:
                remaining.append(node)
        if not constant and not sized:
            return model
        model.graph.initializer.extend(sized)
        needed = {name for node in remaining for name in _reads(node)} | {value.name for value in model.graph.output}
        model.graph.initializer.extend(_run(model, constant, needed, shapes))
        del model.graph.node[:]
        model.graph.node.extend(remaining)


def _without_stated_sizes(model: ModelProto) -> ModelProto:
    """Return a copy without the stated shapes of constants, because shape inference might not check them."""
    copied = ModelProto()
    copied.CopyFrom(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if _is_constant(node, constants):
            constants.update(node.output)
    stated = [value for value in model.graph.value_info if value.name not in constants]
    del copied.graph.value_info[:]
    copied.graph.value_info.extend(stated)
    return copied


def _is_constant(node: NodeProto, constants: set[str]) -> bool:
    return constants.issuperset(filter(None, node.input))


def _is_sized(node: NodeProto, inferred: Collection[str]) -> bool:
    """Return whether the sizes of all outputs of ``node`` are known before it runs.

    Otherwise, they depend on the values of its inputs, and shape inference computes them in the next round.
    """
    return all(name in inferred for name in node.output if name)


def _reads(node: NodeProto) -> Iterator[str]:
    """Yield the names that ``node`` reads, including those in its subgraphs."""
    yield from node.input
    for item in node.attribute:
        for inner in item.g.node:
            yield from _reads(inner)


def _shapes(model: ModelProto) -> dict[str, list[int]]:
    """Return the fixed shapes of values by name."""
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(dim.HasField("dim_value") for dim in dims):
            shapes.setdefault(value.name, [dim.dim_value for dim in dims])
    return shapes


def _size_of(node: NodeProto, shape: list[int]) -> TensorProto:
    ends = {item.name: item.i for item in node.attribute}
    selection = shape[ends.get("start", 0) : ends.get("end", len(shape))]
    return numpy_helper.from_array(np.array(selection, np.int64), node.output[0])


def _run(
    model: ModelProto, nodes: list[NodeProto], needed: set[str], shapes: dict[str, list[int]]
) -> list[TensorProto]:
    """Compute ``needed`` values with ``nodes``."""
    for node in nodes:
        for name in node.output:
            if prod(shapes.get(name, [])) > _MOST_ELEMENTS:
                raise ModelError(
                    f"node {node.name or name} ({node.op_type}) computes a constant of shape {tuple(shapes[name])}, "
                    "but "
                    f"at most {_MOST_ELEMENTS:,} elements are allowed"
                )
    outputs = [name for node in nodes for name in node.output if name in needed]
    if not outputs:
        return []
    input_names = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "constants",
        inputs=[],
        outputs=[helper.make_empty_tensor_value_info(name) for name in outputs],
        initializer=[tensor for tensor in model.graph.initializer if tensor.name in input_names],
    )
    part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = session.run(outputs, {})
    return [numpy_helper.from_array(value, name) for name, value in zip(outputs, values, strict=True)]
