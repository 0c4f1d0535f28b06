"""Cross-layer equalization: channels of one layer get ranges of one size, so that a few large ones waste no levels.

Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction". Between two convolutions
with nothing in between but what commutes with a positive factor, channel i of the first is divided by s_i, and what
reads it in the second multiplied by it: s_i = sqrt(r1_i / r2_i), with r the largest absolute weight of the channel. The
network computes the same.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgeprune.quantize.prepare import constants_of

_HOMOGENEOUS = frozenset({"AveragePool", "GlobalAveragePool", "LeakyRelu", "MaxPool", "Relu"})
"""f(s x) = s f(x) for s > 0, channel by channel. A Clip to 6 is none of them."""
_ROUNDS = 20
_CLOSE = 1e-3
"""Rounds end when no factor is further from 1."""

Weights = NDArray[np.float64]


@dataclass(frozen=True)
class Equalized:
    """Result of ``equalize``.

    Attributes:
        model: Computes the same.
        pairs: Names of the convolutions that were equalized with each other, in the model's order.
    """

    model: ModelProto
    pairs: tuple[tuple[str, str], ...]


def equalize(model: ModelProto) -> Equalized:
    """A copy of ``model`` with its chains of convolutions equalized, depthwise ones included.

    A chain ends where a value is read twice (residual blocks), is an output of the model, where weights are shared or
    computed, and at every operator whose function would change (Clip, Sigmoid, additions).
    """
    equal = copy.deepcopy(model)
    graph = _Graph(equal)
    pairs = list(graph.pairs())
    values = {name: graph.read(name) for pair in pairs for node in pair for name in node.input[1:] if name}
    for _ in range(_ROUNDS):
        # Along a chain of three or more, each pair disturbs the one before, so that it takes rounds.
        changes = [_balance(first, second, values) for first, second in pairs]
        if max(changes, default=0.0) < _CLOSE:
            break
    graph.write(values)
    return Equalized(equal, tuple((first.name, second.name) for first, second in pairs))


def _balance(first: NodeProto, second: NodeProto, values: dict[str, Weights]) -> float:
    """Equalize a pair once; returns how far the furthest factor is from 1."""
    made, reading = values[first.input[1]], values[second.input[1]]
    groups = _groups(second)
    by_group = reading.reshape(groups, len(reading) // groups, reading.shape[1], -1)  # (groups, out, in, kernel)
    r1 = np.abs(made).reshape(len(made), -1).max(axis=1)
    r2 = np.abs(by_group).max(axis=(1, 3)).reshape(-1)
    alive = (r1 > 0) & (r2 > 0)
    factors = np.sqrt(np.divide(r1, r2, out=np.ones_like(r1), where=alive))
    values[first.input[1]] = made / factors.reshape(-1, *[1] * (made.ndim - 1))
    if len(first.input) > 2 and first.input[2]:
        values[first.input[2]] = values[first.input[2]] / factors
    values[second.input[1]] = (by_group * factors.reshape(groups, 1, -1, 1)).reshape(reading.shape)
    return float(np.abs(factors - 1).max())


class _Graph:
    """Who reads what in a model."""

    def __init__(self, model: ModelProto) -> None:
        self._model = model
        self._constants = constants_of(model)
        self._readers: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._outputs = {value.name for value in model.graph.output}

    def pairs(self) -> Iterator[tuple[NodeProto, NodeProto]]:
        """Convolutions with nothing but homogeneous operators in between."""
        for node in self._model.graph.node:
            if self._own_weights(node):
                reader = self._only_reader(node)
                while reader is not None and reader.op_type in _HOMOGENEOUS:
                    reader = self._only_reader(reader)
                if reader is not None and self._own_weights(reader):
                    yield node, reader

    def read(self, name: str) -> Weights:
        return numpy_helper.to_array(self._constants[name]).astype(np.float64)

    def write(self, values: dict[str, Weights]) -> None:
        for name, value in values.items():
            self._constants[name].CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))

    def _only_reader(self, node: NodeProto) -> NodeProto | None:
        name = node.output[0]
        readers = self._readers.get(name, [])
        alone = len(node.output) == 1 and len(readers) == 1 and list(readers[0].input).count(name) == 1
        return readers[0] if alone and name not in self._outputs and readers[0].input[0] == name else None

    def _own_weights(self, node: NodeProto) -> bool:
        """A convolution whose weights and bias are float32 constants that nothing else reads."""
        return node.op_type == "Conv" and all(
            name in self._constants
            and self._constants[name].data_type == TensorProto.FLOAT
            and len(self._readers[name]) == 1
            for name in node.input[1:]
            if name
        )


def _groups(node: NodeProto) -> int:
    return next((int(helper.get_attribute_value(item)) for item in node.attribute if item.name == "group"), 1)
