"""Which nodes to quantize so that ONNX Runtime computes them on integers and converts nothing without need."""

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
    """The type of activations that ONNX Runtime's CPU kernels want; weights are int8 on all.

    Its kernels for Arm take int8 (S8S8). Those for x86-64 multiply unsigned by signed (U8S8); it turns int8 activations
    into uint8 there, but not those that several operators read, which leaves the residual blocks of a ResNet half
    quantized. Both types hold the same values, shifted by 128.

    Args:
        architecture: As ``platform.machine()`` gives it; None: not known.
    """
    return "uint8" if (architecture or "").lower() in ("x86_64", "amd64") else "int8"


def gains_by_int8(op_type: str) -> bool:
    """Whether quantization speeds the operator up wherever it stands."""
    return ONNX[op_type].onnxruntime_int8 == "gains"


def chosen(model: ModelProto, kept_float: Collection[str]) -> list[str]:
    """Names of the nodes to quantize, in the model's order.

    Those with weights, and those that follow where all they read is quantized.

    Args:
        model: Its nodes are in topological order and have names.
        kept_float: Names of nodes that stay float.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    integers: set[str] = set()  # values that come out of a quantized node
    names = []
    for node in model.graph.node:
        read = [name for name in node.input if name and name not in constants]
        follows = bool(read) and all(name in integers for name in read)
        int8 = ONNX[node.op_type].onnxruntime_int8
        if int8 == "passes" and follows:
            integers.update(node.output)
        elif node.name not in kept_float and (int8 == "gains" or (int8 == "follows" and follows)):
            integers.update(node.output)
            names.append(node.name)
    return names


@dataclass(frozen=True)
class IntegerExecution:
    """How ONNX Runtime computes the nodes with weights, by name.

    Attributes:
        integer: On integers.
        float32: In float.
    """

    integer: frozenset[str]
    float32: frozenset[str]


def executed(model: ModelProto, activations: Activations) -> IntegerExecution:
    """A quantized model after ONNX Runtime's optimizer.

    Raises:
        ModelError: It cannot load the model.
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
