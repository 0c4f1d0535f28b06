"""Rules for the placement of Q/DQ pairs that TensorRT fuses.

The order of use is ``quantized``, ``qdq_placement.fit``, ``check``. TensorRT runs exactly the conversions in a Q/DQ
graph, so a pair in the wrong place costs a reformat or prevents the fusion of a kernel.

Source of the rules: NVIDIA TensorRT documentation, "Working with Quantized Types: Q/DQ Layer-Placement
Recommendations":

- quantize the input and the weights of convolutions and matrix products, not their outputs
- quantize the skip input of a residual addition and not the other one, so that convolution, addition and activation
  become one int8 kernel
- symmetric int8; one scale for each activation, one for each output channel of weights; biases remain float
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from onnx import ModelProto

from edgeprune.backends.tensorrt.qdq_graph import WEIGHTED, main_input, main_inputs, stored, wants_pair
from edgeprune.errors import ModelError
from edgeprune.operator_facts.onnx_operators import ONNX
from edgeprune.quantize.qdq_insertion import inserted, pair_source, producer

if TYPE_CHECKING:
    from onnxruntime.quantization.calibrate import TensorsData

QUANTIZED = ONNX.names(lambda facts: facts.tensorrt_int8)
"""Operators that become int8 kernels."""

_SHOWN = 5
_GROUP_CHANNELS = 4
"""Input channels in each group that int8 kernels of transposed convolutions need."""


@dataclass(frozen=True)
class Violation:
    """Violation of a rule by a graph.

    Attributes:
        rule: Name of the rule: ``int8``, ``weights``, ``bias``, ``residual``, ``stray`` or ``shared``.
        node: Name of the node.
        message: Description of the violation.
    """

    rule: str
    node: str
    message: str


def quantized(
    model: ModelProto, ranges: TensorsData, *, float_weights: bool = False, kept_float: Collection[str] = ()
) -> ModelProto:
    """Return a quantized copy of ``model``. Apply ``qdq_placement.fit`` to it to complete the placement.

    Args:
        model: Float network returned by ``quantize.prepare_onnx``.
        ranges: Ranges of its activations, by ``quantize.calibrate`` for ``QUANTIZED`` operators.
        float_weights: Whether weights remain float32, followed by Q/DQ. NVIDIA's quantizer (Model Optimizer) does this,
            and releases before 10 need it. Later ones also support int8 weights, which take a quarter of the size.
        kept_float: Names of nodes that are not quantized.
    """
    nodes = ir.from_proto(model).graph
    no_residual = [str(node.name) for node in nodes if node.op_type == "Add" and not main_inputs(node)]
    return inserted(
        model,
        ranges,
        QUANTIZED,
        excluded=[*no_residual, *kept_float],
        ActivationSymmetric=True,
        WeightSymmetric=True,
        QuantizeBias=False,
        AddQDQPairToWeight=float_weights,
        DedicatedQDQPair=True,
        MatMulConstBOnly=True,
        OpTypesToExcludeOutputQuantization=list(QUANTIZED),
        QDQOpTypePerChannelSupportToAxis={"MatMul": 1},
    )


def narrow_grouped_deconvolutions(model: ModelProto) -> tuple[str, ...]:
    """Return the names of transposed convolutions with less than four input channels in a group.

    TensorRT 8.4 to 10.8 cannot build an engine with them in int8 (issue 1934 of NVIDIA/TensorRT, tested there with 8.4
    and 10.9).
    """
    return tuple(
        str(node.name)
        for node in ir.from_proto(model).graph
        if node.op_type == "ConvTranspose"
        and (groups := node.attributes.get_int("group", 1)) > 1
        and (weights := node.inputs[1]) is not None
        and weights.shape is not None
        and int(weights.shape[0]) < _GROUP_CHANNELS * groups  # type: ignore[arg-type]
    )


def check(model: ModelProto, *, float_weights: bool = False) -> None:
    """Check a quantized network against the rules.

    Raises:
        ModelError: The network breaks a rule. The message names the nodes.
    """
    problems = violations(model, float_weights=float_weights)
    if problems:
        listed = "; ".join(f"{violation.node}: {violation.message}" for violation in problems[:_SHOWN])
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise ModelError(f"TensorRT cannot run these nodes as int8 kernels: {listed}{more}")


def violations(model: ModelProto, *, float_weights: bool = False) -> list[Violation]:
    """Return all violations of the rules by a quantized network; see ``quantized``."""
    result: list[Violation] = []
    for node in ir.from_proto(model).graph:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            result += _pair_violations(node)
        elif node.op_type in WEIGHTED:
            result += _weighted_violations(node, float_weights=float_weights)
        elif node.op_type == "Add":
            result += _residual_violations(node)
    return result


def _pair_violations(node: ir.Node) -> Iterator[Violation]:
    name, value = str(node.name), node.outputs[0]
    yield from _type_violations(node)
    if pair_source(value) is None:
        return
    if value.is_graph_output():
        yield Violation("stray", name, "it quantizes an output of the network")
    if len(value.uses()) > 1:
        yield Violation("shared", name, f"{len(value.uses())} nodes share it")
    for reader, index in value.uses():
        if not wants_pair(reader, index):
            yield Violation("stray", name, f"it feeds {reader.op_type} {reader.name}, which runs in float")


def _type_violations(node: ir.Node) -> Iterator[Violation]:
    source, _, zero = [*node.inputs, None][:3]
    if source is not None and source.is_initializer() and source.dtype == ir.DataType.INT32:
        return  # a bias
    zero_point = None if zero is None or zero.const_value is None else zero.const_value.numpy()
    if zero_point is None and node.op_type == "DequantizeLinear":
        return  # it takes the type of what it reads, and 0
    if zero_point is None or zero_point.dtype != np.int8:
        kind = "uint8" if zero_point is None else zero_point.dtype
        yield Violation("int8", str(node.name), f"its quantized type is {kind}, not int8")
    elif zero_point.any():
        yield Violation("int8", str(node.name), "its zero point is not 0: quantize activations symmetrically")


def _weighted_violations(node: ir.Node, *, float_weights: bool) -> Iterator[Violation]:
    name = str(node.name)
    pairs = [producer(value, "DequantizeLinear") for value in node.inputs]
    weights, dequantize = stored(node.inputs[1]), pairs[1]
    if not all(pairs[:2]):
        if any(pairs[:2]):
            yield Violation("weights", name, "of its input and its weights only one is quantized")
        return
    if weights is None or weights.const_value is None or dequantize is None:
        return  # a product of two activations
    shape, scale = weights.const_value.shape.numpy(), dequantize.inputs[1]
    axis = _weight_axis(node, len(shape))
    if (
        scale is None
        or scale.const_value is None
        or scale.const_value.size != shape[axis]
        or dequantize.attributes.get_int("axis", 1) % len(shape) != axis
    ):
        yield Violation("weights", name, f"its weights need a scale for each channel along dimension {axis}")
    if float_weights and weights.dtype != ir.DataType.FLOAT:
        yield Violation("weights", name, "its weights are stored as int8, which TensorRT reads from 10.0 on")
    if any(pairs[2:]):
        yield Violation("bias", name, "its bias is quantized")


def _residual_violations(add: ir.Node) -> Iterator[Violation]:
    name, main = str(add.name), main_input(add)
    if main is None:
        return  # pairs before it are stray, see there
    if pair_source(add.inputs[main]):
        yield Violation(
            "residual", name, "the input that is computed right before it is quantized, which prevents fusion"
        )
    if not pair_source(add.inputs[1 - main]):
        yield Violation("residual", name, "its skip input is not quantized, so the fused kernel writes float")


def _weight_axis(node: ir.Node, rank: int) -> int:
    """Dimension of the weights that has the output channels."""
    if node.op_type == "MatMul":
        return rank - 1
    if node.op_type == "Gemm":
        return 0 if node.attributes.get_int("transB", 0) else 1
    return 0 if node.op_type == "Conv" else 1
