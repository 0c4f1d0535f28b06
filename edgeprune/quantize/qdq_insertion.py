"""QuantizeLinear and DequantizeLinear around the nodes that are to compute on integers."""

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
    """A quantized copy of ``model``, and the names of its quantized nodes: all run on integers on ONNX Runtime.

    Parts of unlike range that are joined at an output are quantized one by one, and joined as floats, see ``joining``.
    Weights are int8, symmetric, with a scale an output channel; activations have a scale and a zero point a tensor.
    Logits are left as they come out of the last matrix product, so that no two classes tie by rounding.

    A node for which ONNX Runtime has no integer kernel is not quantized. It quantizes the weights of a float node that
    lies alone between quantized ones by itself (from version 1.21 on), so that such a node is quantized here at once.

    Args:
        model: As ``prepare`` gives it.
        ranges: Of its activations, by ``calibrate``.
        activations: Their type, see ``activations_for``.
        kept_float: Nodes with weights that are not to be quantized.

    Raises:
        ModelError: No node with weights can be quantized.
    """
    unfused: set[str] = set()
    requantized: set[str] = set()
    while True:
        left = (set(kept_float) - requantized) | unfused
        proto, names = written(model, ranges, activations=activations, kept_float=left)
        ran = executed(proto, activations)
        if ran.float32.isdisjoint(names) and ran.integer.isdisjoint(left):
            return proto, names
        unfused |= ran.float32.intersection(names)
        requantized |= ran.integer & left
        logger.info("no integer kernel: %s; quantized by the runtime: %s", sorted(unfused), sorted(requantized))


def written(
    model: ModelProto, ranges: TensorsData, *, activations: Activations, kept_float: Collection[str]
) -> tuple[ModelProto, list[str]]:
    """Quantize like ``quantized``, also nodes without integer kernels in ONNX Runtime."""
    names = chosen(model, {*kept_float, *_joins(model, ranges)})
    if not names:
        raise ModelError("no node of the model can be quantized: it has no convolution or matrix product left")
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
    """A copy of ``model`` as ONNX Runtime's quantizer leaves it.

    Args:
        model: As ``prepare`` gives it.
        ranges: Of its activations, by ``calibrate``.
        op_types: Operators that may be quantized.
        activations: Their type.
        nodes: Names of those that are; none: all of these operators.
        excluded: Names of those that are not.
        options: The quantizer's ``extra_options``.
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
    """Names of the nodes that join parts of unlike range at an output."""
    nodes = list(model.graph.node)
    steps = [
        OutputOperator(node.input, node.output, ONNX[node.op_type].moves, node.op_type == "Concat") for node in nodes
    ]
    magnitudes = {name: max(abs(np.asarray(end).item()) for end in data.range_value) for name, data in ranges.items()}
    outputs = {output.name for output in model.graph.output}
    return [nodes[index].name for index in sorted(float_steps(steps, outputs, magnitudes))]


def _free_logits(graph: ir.Graph) -> None:
    """Take the pair of nodes away that rounds what a matrix product gives to an output of the model."""
    for output in list(graph.outputs):
        source = pair_source(output)
        if source is not None and made_by(source, "Gemm", "MatMul") and not source.is_graph_output():
            replace_output(output, source)


def made_by(value: ir.Value | None, *kinds: str) -> ir.Node | None:
    """The node that makes ``value``, if it is of one of ``kinds``."""
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type in kinds else None


def pair_source(value: ir.Value | None) -> ir.Value | None:
    """The activation that reaches ``value`` through Q and DQ; None if it does not."""
    dequantize = made_by(value, "DequantizeLinear")
    quantize = made_by(dequantize.inputs[0], "QuantizeLinear") if dequantize else None
    source = quantize.inputs[0] if quantize else None
    return None if source is None or source.is_initializer() else source


def replace_output(output: ir.Value, source: ir.Value) -> None:
    """Make ``source`` an output of the graph in place of ``output``, under its name."""
    output.replace_all_uses_with(source, replace_graph_outputs=True)
    output.name, source.name = f"{output.name}_unread", output.name
    source.type, source.shape = output.type, output.shape
