"""Cross-layer equalization: makes the weight ranges of a layer's channels similar, to use all quantization levels.

Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction". Consider two
convolutions with only operators in between that commute with a positive factor. Channel i of the first is divided by
s_i, and the weights of the second that read it are multiplied by s_i = sqrt(r1_i / r2_i), where r is the largest
absolute weight of the channel. The function of the network does not change.
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
"""Rounds end when all factors differ from 1 by less than this."""

Weights = NDArray[np.float64]


@dataclass(frozen=True)
class EqualizedModel:
    """Result of ``equalize``.

    Attributes:
        model: Equalized model, which computes the same function.
        pairs: Names of each pair of equalized convolutions, in the model's order.
    """

    model: ModelProto
    pairs: tuple[tuple[str, str], ...]


def equalize(model: ModelProto) -> EqualizedModel:
    """Return a copy of ``model`` with equalized chains of convolutions, including depthwise ones.

    A chain ends at a value that is read twice (residual blocks) or is an output of the model, at weights that are
    shared or computed, and at operators that do not commute with a factor (Clip, Sigmoid, additions).
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
    """Equalize a pair once, and return the largest difference of a factor from 1."""
    first_weights, second_weights = values[first.inputs[1]], values[second.inputs[1]]
    groups = second.attributes.get_int("group", 1)
    by_group = second_weights.reshape(
        groups, len(second_weights) // groups, second_weights.shape[1], -1
    )  # (groups, out, in, kernel)
    r1 = np.abs(first_weights).reshape(len(first_weights), -1).max(axis=1)
    r2 = np.abs(by_group).max(axis=(1, 3)).reshape(-1)
    alive = (r1 > 0) & (r2 > 0)
    factors = np.sqrt(np.divide(r1, r2, out=np.ones_like(r1), where=alive))
    values[first.inputs[1]] = first_weights / factors.reshape(-1, *[1] * (first_weights.ndim - 1))
    for bias in first.inputs[2:]:
        if bias is not None:
            values[bias] = values[bias] / factors
    values[second.inputs[1]] = (by_group * factors.reshape(groups, 1, -1, 1)).reshape(second_weights.shape)
    return float(np.abs(factors - 1).max())


def _pairs(graph: ir.Graph) -> Iterator[tuple[ir.Node, ir.Node]]:
    """Yield pairs of convolutions with only homogeneous operators in between."""
    for node in graph:
        if _own_weights(node):
            reader = _only_reader(node)
            while reader is not None and ONNX[reader.op_type].homogeneous:
                reader = _only_reader(reader)
            if reader is not None and _own_weights(reader):
                yield node, reader


def _only_reader(node: ir.Node) -> ir.Node | None:
    """Return the only reader of the only output of ``node``, if it is the reader's first input; else None."""
    uses = [use for output in node.outputs for use in output.uses()]
    is_single_use = len(node.outputs) == len(uses) == 1 and not node.outputs[0].is_graph_output()
    return uses[0].node if is_single_use and uses[0].idx == 0 else None


def _own_weights(node: ir.Node) -> bool:
    """Return whether ``node`` is a convolution whose float32 constants have no other readers."""
    return node.op_type == "Conv" and all(
        value.is_initializer() and value.dtype == ir.DataType.FLOAT and len(value.uses()) == 1
        for value in node.inputs[1:]
        if value is not None
    )
