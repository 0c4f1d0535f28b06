"""Insertion of QuantizeLinear and DequantizeLinear around the nodes that run on integers."""

from __future__ import annotations

import copy
import logging
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from onnx import ModelProto

from edgeprune.errors import ModelError
from edgeprune.export.onnx_cleanup import tidy
from edgeprune.export.output_capture import logged
from edgeprune.operator_facts.onnx_operators import ONNX
from edgeprune.quantize.float_outputs import OutputOperator, float_steps
from edgeprune.quantize.integer_fusion import OP_TYPES, Activations, chosen, executed

if TYPE_CHECKING:
    from onnxruntime.quantization.calibrate import TensorsData

logger = logging.getLogger(__name__)


def quantized(
    model: ModelProto, ranges: TensorsData, *, activations: Activations, kept_float: Collection[str] = ()
) -> tuple[ModelProto, list[str]]:
    """Return a quantized copy of ``model`` and the names of its quantized nodes, which ONNX Runtime runs on integers.

    Parts with different ranges that are joined at an output are quantized separately and joined as floats, see
    ``float_outputs``. Weights are symmetric int8 with a scale for each output channel. Activations have a scale and a
    zero point for each tensor. Logits are not quantized after the last matrix product, so that classes do not tie by
    rounding.

    A node for which ONNX Runtime has no integer kernel is not quantized. ONNX Runtime (1.21 and later) quantizes the
    weights of a single float node between quantized nodes anyway, so such a node is quantized here.

    Args:
        model: Model returned by ``prepare``.
        ranges: Ranges of its activations, by ``calibrate``.
        activations: Type of activations, see ``activations_for``.
        kept_float: Names of nodes with weights that are not quantized.

    Raises:
        ModelError: No node with weights can be quantized.
    """
    unfused: set[str] = set()
    requantized: set[str] = set()
    while True:
        float_nodes = (set(kept_float) - requantized) | unfused
        proto, names = written(model, ranges, activations=activations, kept_float=float_nodes)
        execution = executed(proto, activations)
        if execution.float32.isdisjoint(names) and execution.integer.isdisjoint(float_nodes):
            return proto, names
        unfused |= execution.float32.intersection(names)
        requantized |= execution.integer & float_nodes
        logger.info("no integer kernel: %s; quantized by the runtime: %s", sorted(unfused), sorted(requantized))


def written(
    model: ModelProto, ranges: TensorsData, *, activations: Activations, kept_float: Collection[str]
) -> tuple[ModelProto, list[str]]:
    """Quantize like ``quantized``, including nodes without integer kernels in ONNX Runtime."""
    names = chosen(model, {*kept_float, *_joins(model, ranges)})
    if not names:
        raise ModelError("no node can be quantized: expected a Conv, MatMul or Gemm that is not excluded from int8")
    pairs = ir.from_proto(inserted(model, ranges, OP_TYPES, activations=activations, nodes=names))
    _free_logits(pairs.graph)
    return tidy(pairs), names


def inserted(
    model: ModelProto,
    ranges: TensorsData,
    op_types: Collection[str],
    *,
    activations: Activations = "int8",
    nodes: Collection[str] = (),
    excluded: Collection[str] = (),
    **options: Any,
) -> ModelProto:
    """Return a copy of ``model`` quantized by ONNX Runtime's quantizer.

    Args:
        model: Model returned by ``prepare``.
        ranges: Ranges of its activations, by ``calibrate``.
        op_types: Operators that may be quantized.
        activations: Type of activations.
        nodes: Names of the nodes to quantize; empty for all nodes with these operators.
        excluded: Names of nodes that are not quantized.
        options: ``extra_options`` of the quantizer.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    with logged(logger):
        quantizer = QDQQuantizer(
            copy.deepcopy(model),
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8 if activations == "int8" else QuantType.QUInt8,
            tensors_range=copy.deepcopy(ranges),  # it moves those of a Relu
            nodes_to_quantize=list(nodes),
            nodes_to_exclude=list(excluded),
            op_types_to_quantize=sorted(op_types),
            extra_options=options,
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()
        proto: ModelProto = quantizer.model.model
    return proto


def _joins(model: ModelProto, ranges: TensorsData) -> list[str]:
    """Return the names of the nodes that join parts with different ranges at an output."""
    nodes = list(model.graph.node)
    steps = [
        OutputOperator(node.input, node.output, ONNX[node.op_type].moves, node.op_type == "Concat") for node in nodes
    ]
    magnitudes = {name: max(abs(np.asarray(end).item()) for end in data.range_value) for name, data in ranges.items()}
    outputs = {output.name for output in model.graph.output}
    return [nodes[index].name for index in sorted(float_steps(steps, outputs, magnitudes))]


def _free_logits(graph: ir.Graph) -> None:
    """Remove Q/DQ pairs between a matrix product and an output of the model."""
    for output in list(graph.outputs):
        source = pair_source(output)
        if source is not None and producer(source, "Gemm", "MatMul") and not source.is_graph_output():
            replace_output(output, source)


def producer(value: ir.Value | None, *kinds: str) -> ir.Node | None:
    """Return the node that computes ``value`` if its operator is one of ``kinds``; else None."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type in kinds else None


def pair_source(value: ir.Value | None) -> ir.Value | None:
    """Return the activation that reaches ``value`` through Q and DQ; None if there is no such pair."""
    dequantize = producer(value, "DequantizeLinear")
    quantize = producer(dequantize.inputs[0], "QuantizeLinear") if dequantize else None
    source = quantize.inputs[0] if quantize else None
    return None if source is None or source.is_initializer() else source


def replace_output(output: ir.Value, source: ir.Value) -> None:
    """Replace the graph output ``output`` with ``source``, which takes its name."""
    output.replace_all_uses_with(source, replace_graph_outputs=True)
    output.name, source.name = f"{output.name}_unread", output.name
    source.type, source.shape = output.type, output.shape
