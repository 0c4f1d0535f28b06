"""Access to the nodes and values before the Q/DQ pairs of an ONNX graph."""

from __future__ import annotations

import onnx_ir as ir

from edgeprune.operator_facts.onnx_operators import ONNX
from edgeprune.quantize.qdq_insertion import pair_source, producer

WEIGHTED = ONNX.names(lambda facts: facts.has_weights)


def stored(value: ir.Value | None) -> ir.Value | None:
    """Return the constant that reaches ``value`` through DQ, with or without Q before it."""
    dequantize = producer(value, "DequantizeLinear")
    if dequantize is None:
        return None
    source = (producer(dequantize.inputs[0], "QuantizeLinear") or dequantize).inputs[0]
    return source if source is not None and source.is_initializer() else None


def main_inputs(add: ir.Node) -> list[int]:
    """Return the inputs of ``add`` that are outputs of a convolution or matrix product without other uses."""
    indices = []
    for index, value in enumerate(add.inputs):
        source = pair_source(value) or value
        if source is None or source.is_initializer() or stored(value):
            return []
        if len(source.uses()) == 1 and not source.is_graph_output() and producer(source, *WEIGHTED):
            indices.append(index)
    return indices


def main_input(add: ir.Node) -> int | None:
    """Return the index of the input whose int8 kernel is fused with ``add``; None if the addition is not fused."""
    for index in main_inputs(add):
        weighted = producer(pair_source(add.inputs[index]) or add.inputs[index], *WEIGHTED)
        if weighted is not None and pair_source(weighted.inputs[0]):
            return index
    return None


def wants_pair(node: ir.Node, index: int) -> bool:
    """Return whether a pair before input ``index`` of ``node`` can be part of an int8 kernel."""
    if node.op_type == "Add":
        return main_input(node) is not None
    return node.op_type in WEIGHTED and index < 2
