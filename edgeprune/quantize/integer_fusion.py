"""Selection of the nodes to quantize, so that ONNX Runtime runs them on integers without unnecessary conversions."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnx
from onnx import ModelProto

from edgeprune.operator_facts.onnx_operators import ONNX
from edgeprune.quantize.ort_session import load

Activations = Literal["int8", "uint8"]

OP_TYPES = ONNX.names(lambda facts: facts.onnxruntime_int8 in ("gains", "follows"))
"""Operators with integer kernels."""
_INTEGER_FORMS = frozenset({"MatMulIntegerToFloat", "QGemm", "QLinearConv", "QLinearMatMul"})


def activations_for(architecture: str | None) -> Activations:
    """Return the activation type for ONNX Runtime's CPU kernels. Weights are always int8.

    The kernels for Arm use int8 (S8S8). Those for x86-64 multiply unsigned by signed integers (U8S8). There, the
    runtime converts int8 activations to uint8, except for those that several operators read; half of a ResNet's
    residual blocks would not be quantized. Both types represent the same values, shifted by 128.

    Args:
        architecture: Architecture as returned by ``platform.machine()``; None if it is not known.
    """
    return "uint8" if (architecture or "").lower() in ("x86_64", "amd64") else "int8"


def gains_by_int8(op_type: str) -> bool:
    """Return whether quantization always makes the operator faster."""
    return ONNX[op_type].onnxruntime_int8 == "gains"


def chosen(model: ModelProto, kept_float: Collection[str]) -> list[str]:
    """Return the names of the nodes to quantize, in the model's order.

    These are nodes with weights, and nodes with an integer kernel whose inputs are all quantized.

    Args:
        model: Model whose nodes have names and are in topological order.
        kept_float: Names of nodes that remain float.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    integers: set[str] = set()  # values that come out of a quantized node
    names = []
    for node in model.graph.node:
        activations = [name for name in node.input if name and name not in constants]
        follows = bool(activations) and all(name in integers for name in activations)
        int8 = ONNX[node.op_type].onnxruntime_int8
        if int8 == "passes" and follows:
            integers.update(node.output)
        elif node.name not in kept_float and (int8 == "gains" or (int8 == "follows" and follows)):
            integers.update(node.output)
            names.append(node.name)
    return names


@dataclass(frozen=True)
class IntegerExecution:
    """Nodes with weights by the type with which ONNX Runtime executes them.

    Attributes:
        integer: Names of nodes that run on integers.
        float32: Names of nodes that run in float32.
    """

    integer: frozenset[str]
    float32: frozenset[str]


def executed(model: ModelProto, activations: Activations) -> IntegerExecution:
    """Optimize a quantized model with ONNX Runtime, and return how its nodes are executed.

    Raises:
        ModelError: ONNX Runtime cannot load the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        load(
            model.SerializeToString(),
            optimization="ORT_ENABLE_EXTENDED",  # all that fuses quantized nodes, without layouts of one processor
            optimized=optimized,
            entries={"session.qdqisint8allowed": "1"} if activations == "int8" else {},  # as it is on Arm
        )
        nodes = onnx.load(optimized).graph.node  # written by ONNX Runtime, from a model that is within the limits
    return IntegerExecution(
        frozenset(node.name for node in nodes if node.op_type in _INTEGER_FORMS),
        frozenset(node.name for node in nodes if gains_by_int8(node.op_type.removeprefix("Fused"))),
    )
