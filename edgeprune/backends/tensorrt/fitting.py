"""Moves the Q/DQ pairs of a quantised network to where TensorRT fuses them; ``placement`` has the rules."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from edgeprune.backends.tensorrt.graph import WEIGHTED, Graph


def fit(model: ModelProto) -> ModelProto:
    """A copy of a quantised network whose Q/DQ pairs stand where TensorRT fuses them.

    Pairs that several nodes share are copied, those on the main input of residual additions and those that feed
    anything else than a convolution, matrix product or addition are removed, biases become float again. Scales stay.
    """
    model = _copy(model)
    _split_shared(model)
    _unquantize_biases(model)
    _remove_pairs(model)
    _drop_dead(model)
    return model


def _split_shared(model: ModelProto) -> None:
    """Give every reader of an activation's DQ a Q and a DQ of its own."""
    graph = Graph(model)
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type != "DequantizeLinear" or not graph.pair_source(node.output[0]):
            continue
        quantize = graph.producer[node.input[0]]
        readers = graph.consumers[node.output[0]]
        others = readers if node.output[0] in graph.outputs else readers[1:]
        for number, (reader, index) in enumerate(others, start=2):
            copies = [_copy(quantize), _copy(node)]
            for copy in copies:
                copy.name = f"{copy.name}_{number}"
                copy.output[0] = f"{copy.output[0]}_{number}"
            copies[1].input[0] = copies[0].output[0]
            reader.input[index] = copies[1].output[0]
            nodes += copies
    _set_nodes(model, nodes)


def _unquantize_biases(model: ModelProto) -> None:
    graph = Graph(model)
    for node in model.graph.node:
        stored = graph.stored(node.input[2]) if node.op_type in WEIGHTED and len(node.input) > 2 else None
        scale = graph.constant(graph.producer[node.input[2]].input[1]) if stored is not None else None
        if stored is None or scale is None:
            continue
        values = numpy_helper.to_array(stored)
        if stored.data_type != TensorProto.FLOAT:  # int32, always with zero point 0
            values = (values.astype(np.float64) * scale).astype(np.float32)
        name = f"{node.input[2]}_float"
        model.graph.initializer.append(numpy_helper.from_array(values, name))
        node.input[2] = name


def _remove_pairs(model: ModelProto) -> None:
    """Bypass pairs on main inputs of additions, and those that feed outputs or what runs in float."""
    graph = Graph(model)
    bypassed: list[tuple[NodeProto, int, str]] = []
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            source = graph.pair_source(name)
            if source is None:
                continue
            main = node.op_type == "Add" and graph.main_input(node) == index
            if main or not graph.wants_pair(node, index):
                bypassed.append((node, index, source))
    for node, index, source in bypassed:
        node.input[index] = source
    for name in sorted(graph.outputs):
        source = graph.pair_source(name)
        if source in graph.producer and source not in graph.outputs:
            _rename(model, source, name)


def _rename(model: ModelProto, value: str, output: str) -> None:
    """Have the node that makes ``value`` make ``output``, in the place of the node that made it."""
    for node in model.graph.node:
        node.output[:] = [
            f"{name}_unread" if name == output else output if name == value else name for name in node.output
        ]
        node.input[:] = [output if name == value else name for name in node.input]


def _drop_dead(model: ModelProto) -> None:
    """Remove Q/DQ nodes and constants that nothing reads any more."""
    kept: list[NodeProto] = []
    needed = {value.name for value in model.graph.output}
    for node in reversed(model.graph.node):  # in topological order
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    _set_nodes(model, kept[::-1])
    constants = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    del model.graph.initializer[:]
    model.graph.initializer.extend(constants)


def _copy(message: Any) -> Any:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


def _set_nodes(model: ModelProto, nodes: list[NodeProto]) -> None:
    kept = [_copy(node) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(kept)
