"""Placement of the Q/DQ pairs of a quantized network where TensorRT fuses them; see ``qdq_fusion_rules``."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx import ModelProto
from onnx_ir.passes.common import RemoveUnusedNodesPass

from edgeprune.backends.tensorrt.qdq_graph import WEIGHTED, main_input, stored, wants_pair
from edgeprune.quantize.qdq_insertion import pair_source, producer, replace_output


def fit(model: ModelProto) -> ModelProto:
    """Return a copy of a quantized network whose Q/DQ pairs are placed where TensorRT fuses them.

    Steps:

    1. Copy pairs that several nodes share.
    2. Convert biases back to float.
    3. Remove pairs on the main input of residual additions, and pairs whose consumer is not a convolution, a matrix
       product or an addition.

    Scales do not change.
    """
    placed = ir.from_proto(model)
    _split_shared(placed.graph)
    _unquantize_biases(placed.graph)
    _remove_pairs(placed.graph)
    RemoveUnusedNodesPass()(placed)
    for constant in placed.graph.initializers.values():
        constant.type = constant.shape = None  # they would be written a second time, beside the tensor's own
    return ir.to_proto(placed)


def _split_shared(graph: ir.Graph) -> None:
    """Give every reader of an activation's DQ a separate Q and DQ."""
    for node in list(graph):
        quantize = producer(node.inputs[0], "QuantizeLinear") if pair_source(node.outputs[0]) else None
        if quantize is None:
            continue
        uses = list(node.outputs[0].uses())
        other_uses = uses if node.outputs[0].is_graph_output() else uses[1:]
        copies: list[ir.Node] = []
        for number, (reader, index) in enumerate(other_uses, start=2):
            copies.append(_copy(quantize, number, quantize.inputs[0]))
            copies.append(_copy(node, number, copies[-1].outputs[0]))
            reader.replace_input_with(index, copies[-1].outputs[0])
        graph.insert_after(node, copies)


def _copy(node: ir.Node, number: int, source: ir.Value | None) -> ir.Node:
    output = ir.Value(name=f"{node.outputs[0].name}_{number}")
    name = f"{node.name}_{number}"
    inputs = [source, *node.inputs[1:]]
    return ir.Node(node.domain, node.op_type, inputs, node.attributes.values(), outputs=[output], name=name)


def _unquantize_biases(graph: ir.Graph) -> None:
    for node in graph:
        bias = node.inputs[2] if node.op_type in WEIGHTED and len(node.inputs) > 2 else None
        constant, dequantize = stored(bias), producer(bias, "DequantizeLinear")
        scale = dequantize.inputs[1] if dequantize else None
        if not bias or not constant or not constant.const_value or not scale or not scale.const_value:
            continue
        values = constant.const_value.numpy()
        if values.dtype != np.float32:  # int32, always with zero point 0
            values = (values.astype(np.float64) * scale.const_value.numpy()).astype(np.float32)
        unquantized = ir.Value(name=f"{bias.name}_float", const_value=ir.tensor(values))
        graph.register_initializer(unquantized)
        bias.replace_all_uses_with(unquantized)


def _remove_pairs(graph: ir.Graph) -> None:
    """Bypass pairs on main inputs of additions, and pairs before outputs or float operators."""
    bypassed: list[tuple[ir.Node, int, ir.Value]] = []
    for node in graph:
        for index, value in enumerate(node.inputs):
            source = pair_source(value)
            main = node.op_type == "Add" and main_input(node) == index
            if source is not None and (main or not wants_pair(node, index)):
                bypassed.append((node, index, source))
    for node, index, source in bypassed:
        node.replace_input_with(index, source)
    for output in list(graph.outputs):
        source = pair_source(output)
        if source is not None and not source.is_graph_input() and not source.is_graph_output():
            replace_output(output, source)
