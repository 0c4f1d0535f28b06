"""Placement of Q/DQ pairs that TensorRT fuses: ``quantized``, then ``fitting.fit``, then ``check``.

TensorRT runs exactly the conversions that a Q/DQ graph asks for, so a pair in the wrong place costs a reformat or keeps
a kernel from being fused. Source of the rules: NVIDIA TensorRT documentation, "Working with Quantized Types: Q/DQ
Layer-Placement Recommendations":

- quantise the input and the weights of convolutions and matrix products, not their outputs
- quantise the skip input of a residual addition and not the other one, so that convolution, addition and activation
  become one int8 kernel
- symmetric int8; one scale for an activation, one an output channel for weights; biases stay float
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto

from edgeprune.backends.tensorrt.graph import WEIGHTED, Graph
from edgeprune.errors import ModelError
from edgeprune.quantize.qdq import inserted

if TYPE_CHECKING:
    from onnxruntime.quantization.calibrate import TensorsData

QUANTIZED = (*WEIGHTED, "Add")
"""Operators that become int8 kernels."""

_SHOWN = 5


@dataclass(frozen=True)
class Violation:
    """A rule that a graph breaks.

    Attributes:
        rule: ``int8``, ``weights``, ``bias``, ``residual``, ``stray`` or ``shared``.
        node: Name of the node.
        message: What is wrong there.
    """

    rule: str
    node: str
    message: str


def quantized(
    model: ModelProto, ranges: TensorsData, *, float_weights: bool = False, kept_float: Collection[str] = ()
) -> ModelProto:
    """A quantised copy of ``model``; ``fitting.fit`` does what ONNX Runtime's quantiser cannot be told.

    Args:
        model: The float network, as ``quantize.prepare`` gives it.
        ranges: Of its activations, by ``quantize.calibrate`` for ``QUANTIZED`` operators.
        float_weights: Leave weights as float32 with Q/DQ behind them, as NVIDIA's own quantiser (Model Optimizer) does
            and releases before 10 need. The documentation of later ones names int8 weights too: a quarter of the size.
        kept_float: Names of nodes that are not to be quantised.
    """
    graph = Graph(model)
    no_residual = [node.name for node in model.graph.node if node.op_type == "Add" and not graph.main_inputs(node)]
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


def check(model: ModelProto, *, float_weights: bool = False) -> None:
    """Hold a quantised network against the rules.

    Raises:
        ModelError: It breaks one; names the nodes.
    """
    found = violations(model, float_weights=float_weights)
    if found:
        shown = "; ".join(f"{violation.node}: {violation.message}" for violation in found[:_SHOWN])
        more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ModelError(f"TensorRT would not run this Q/DQ network as int8 kernels: {shown}{more}")


def violations(model: ModelProto, *, float_weights: bool = False) -> list[Violation]:
    """Every rule that a quantised network breaks; see ``quantized``."""
    graph = Graph(model)
    found = list(_type_violations(graph))
    for node in model.graph.node:
        if node.op_type in WEIGHTED:
            found += _weighted_violations(graph, node, float_weights=float_weights)
        elif node.op_type == "Add":
            found += _residual_violations(graph, node)
        elif node.op_type == "DequantizeLinear" and graph.pair_source(node.output[0]):
            found += _pair_violations(graph, node)
    return found


def _type_violations(graph: Graph) -> Iterator[Violation]:
    for node in graph.model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or _is_bias(graph, node):
            continue
        zero_point = graph.constant(node.input[2]) if len(node.input) > 2 else None
        if zero_point is None and node.op_type == "DequantizeLinear":
            continue  # it takes the type of what it reads, and 0
        if zero_point is None or zero_point.dtype != np.int8:
            kind = "uint8" if zero_point is None else zero_point.dtype
            yield Violation("int8", node.name, f"its quantised type is {kind}, not int8")
        elif zero_point.any():
            yield Violation("int8", node.name, "its zero point is not 0: quantise activations symmetrically")


def _weighted_violations(graph: Graph, node: NodeProto, *, float_weights: bool) -> Iterator[Violation]:
    quantized = [graph.made_by(name, "DequantizeLinear") is not None for name in node.input[:2]]
    weights = graph.stored(node.input[1])
    if not all(quantized):
        if any(quantized):
            yield Violation("weights", node.name, "of its input and its weights only one is quantised")
        return
    if weights is None:
        return  # a product of two activations
    dequantize = graph.producer[node.input[1]]
    scale = graph.constant(dequantize.input[1])
    axis = _weight_axis(node, len(weights.dims))
    if (
        scale is None
        or scale.size != weights.dims[axis]
        or _attribute(dequantize, "axis", 1) % len(weights.dims) != axis
    ):
        yield Violation("weights", node.name, f"its weights need a scale for each channel along dimension {axis}")
    if float_weights and weights.data_type != TensorProto.FLOAT:
        yield Violation("weights", node.name, "its weights are stored as int8, which TensorRT reads from 10.0 on")
    bias = graph.made_by(node.input[2], "DequantizeLinear") if len(node.input) > 2 else None
    if bias is not None:
        yield Violation("bias", node.name, "its bias is quantised")


def _residual_violations(graph: Graph, add: NodeProto) -> Iterator[Violation]:
    main = graph.main_input(add)
    if main is None:
        return  # pairs before it are stray, see there
    if graph.pair_source(add.input[main]):
        yield Violation(
            "residual", add.name, "the input that is computed right before it is quantised, so cannot be fused"
        )
    if not graph.pair_source(add.input[1 - main]):
        yield Violation("residual", add.name, "its skip input is not quantised, so the fused kernel writes float")


def _pair_violations(graph: Graph, dequantize: NodeProto) -> Iterator[Violation]:
    readers = graph.consumers[dequantize.output[0]]
    if dequantize.output[0] in graph.outputs:
        yield Violation("stray", dequantize.name, "it quantises an output of the network")
    if len(readers) > 1:
        yield Violation("shared", dequantize.name, f"{len(readers)} nodes share it")
    for node, index in readers:
        if not graph.wants_pair(node, index):
            yield Violation("stray", dequantize.name, f"it feeds {node.op_type} {node.name}, which runs in float")


def _is_bias(graph: Graph, node: NodeProto) -> bool:
    stored = graph.constants.get(node.input[0])
    return stored is not None and stored.data_type == TensorProto.INT32


def _weight_axis(node: NodeProto, rank: int) -> int:
    """The dimension of output channels."""
    if node.op_type == "MatMul":
        return rank - 1
    if node.op_type == "Gemm":
        return 0 if _attribute(node, "transB", 0) else 1
    return 0 if node.op_type == "Conv" else 1


def _attribute(node: NodeProto, name: str, default: int) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)
