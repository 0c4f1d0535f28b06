"""Cross-layer equalization: channels of one layer get ranges of one size, so that a few large ones waste no levels.

Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction". Between two convolutions
with nothing in between but what commutes with a positive factor, channel i of the first is divided by s_i, and what
reads it in the second multiplied by it: s_i = sqrt(r1_i / r2_i), with r the largest absolute weight of the channel. The
network computes the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import ModelProto

from edgeprune.operator_facts.onnx_operators import ONNX

_ROUNDS = 20
_CLOSE = 1e-3
"""Rounds end when no factor is further from 1."""

Weights = NDArray[np.float64]


@dataclass(frozen=True)
class EqualizedModel:
    """Result of ``equalize``.

    Attributes:
        model: Computes the same.
        pairs: Names of the convolutions that were equalized with each other, in the model's order.
    """

    model: ModelProto
    pairs: tuple[tuple[str, str], ...]


def equalize(model: ModelProto) -> EqualizedModel:
    """A copy of ``model`` with its chains of convolutions equalized, depthwise ones included.

    A chain ends where a value is read twice (residual blocks), is an output of the model, where weights are shared or
    computed, and at every operator whose function would change (Clip, Sigmoid, additions).
    """
    equal = ir.from_proto(model)
    pairs = list(_pairs(equal.graph))
    values: dict[ir.Value | None, Weights] = {
        value: value.const_value.numpy().astype(np.float64)
        for pair in pairs
        for node in pair
        for value in node.inputs[1:]
        if value is not None and value.const_value is not None
    }
    for _ in range(_ROUNDS):
        # Along a chain of three or more, each pair disturbs the one before, so that it takes rounds.
        changes = [_balance(first, second, values) for first, second in pairs]
        if max(changes, default=0.0) < _CLOSE:
            break
    for value, array in values.items():
        if value is not None:
            value.const_value = ir.tensor(array.astype(np.float32))
    return EqualizedModel(ir.to_proto(equal), tuple((str(first.name), str(second.name)) for first, second in pairs))


def _balance(first: ir.Node, second: ir.Node, values: dict[ir.Value | None, Weights]) -> float:
    """Equalize a pair once; returns how far the furthest factor is from 1."""
    made, reading = values[first.inputs[1]], values[second.inputs[1]]
    groups = second.attributes.get_int("group", 1)
    by_group = reading.reshape(groups, len(reading) // groups, reading.shape[1], -1)  # (groups, out, in, kernel)
    r1 = np.abs(made).reshape(len(made), -1).max(axis=1)
    r2 = np.abs(by_group).max(axis=(1, 3)).reshape(-1)
    alive = (r1 > 0) & (r2 > 0)
    factors = np.sqrt(np.divide(r1, r2, out=np.ones_like(r1), where=alive))
    values[first.inputs[1]] = made / factors.reshape(-1, *[1] * (made.ndim - 1))
    for bias in first.inputs[2:]:
        if bias is not None:
            values[bias] = values[bias] / factors
    values[second.inputs[1]] = (by_group * factors.reshape(groups, 1, -1, 1)).reshape(reading.shape)
    return float(np.abs(factors - 1).max())


def _pairs(graph: ir.Graph) -> Iterator[tuple[ir.Node, ir.Node]]:
    """Convolutions with nothing but homogeneous operators in between."""
    for node in graph:
        if _own_weights(node):
            reader = _only_reader(node)
            while reader is not None and ONNX[reader.op_type].homogeneous:
                reader = _only_reader(reader)
            if reader is not None and _own_weights(reader):
                yield node, reader


def _only_reader(node: ir.Node) -> ir.Node | None:
    """The node that reads the only output of ``node`` as its first input, where that is all its use."""
    uses = [use for output in node.outputs for use in output.uses()]
    alone = len(node.outputs) == len(uses) == 1 and not node.outputs[0].is_graph_output()
    return uses[0].node if alone and uses[0].idx == 0 else None


def _own_weights(node: ir.Node) -> bool:
    """A convolution whose weights and bias are float32 constants that nothing else reads."""
    return node.op_type == "Conv" and all(
        value.is_initializer() and value.dtype == ir.DataType.FLOAT and len(value.uses()) == 1
        for value in node.inputs[1:]
        if value is not None
    )
