"""Lowerings of LSTM, GRU and RNN, unrolled over the sequence.

TFLite's own operators for sequences keep their state between two runs of a network, and cannot start from a given one,
so that the second result would differ from ONNX Runtime's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.matmul_ops import fully_connected
from edgeprune.tflite.conversion.ops.view_operators import concatenated, constant, elementwise, parted, sliced
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor
from edgeprune.tflite.tflite_schema import schema

_ACTIVATIONS = {"Sigmoid": "LOGISTIC", "Tanh": "TANH", "Relu": "RELU"}
_State = tuple[LayoutView | None, ...]
"""Hidden state (batch, hidden), and the cell state of an LSTM; None for zeros."""


@dataclass(frozen=True)
class _Gates:
    """Gates of a direction that are computed together.

    Attributes:
        low: The lowering.
        inputs: Products of all steps with the input weights, with biases (steps * batch, rows).
        weights: Recurrent weights (rows, hidden).
        bias: Bias of the recurrent product (rows,); None if it is a part of ``inputs``.
    """

    low: Lowering
    inputs: LayoutView
    weights: Tensor
    bias: Tensor | None

    def of_input(self, step: int, batch: int) -> LayoutView:
        return sliced(self.low, self.inputs, {0: range(step * batch, (step + 1) * batch)})

    def of_state(self, state: LayoutView | None) -> LayoutView | None:
        """Multiply the state by the recurrent weights; None if the result is zero."""
        if state is None:
            return None if self.bias is None else LayoutView.of(self.bias)
        x = self.low.arranged(state, (0, 1))
        shape = (x.shape[0], self.weights.shape[0])
        options = schema.FullyConnectedOptionsT()
        return LayoutView.of(self.low.emit("FULLY_CONNECTED", [x, self.weights, self.bias], shape, options))


_Cell = Callable[[Lowering, Sequence[_Gates], Sequence[LayoutView], _State, Sequence[str]], _State]
"""Step of a direction: gates, their inputs at this step, the state, and the activations -> the next state."""


@lowering("LSTM")
def lstm(node: Node, low: Lowering) -> None:
    if node.get("input_forget", 0) or node.input(7):
        raise node.unsupported("peepholes or input_forget 1", "without them")
    _unroll(node, low, _lstm_cell, (3, 1), ("Sigmoid", "Tanh", "Tanh"))


@lowering("GRU")
def gru(node: Node, low: Lowering) -> None:
    after = bool(node.get("linear_before_reset", 0))
    _unroll(node, low, partial(_gru_cell, linear_before_reset=after), (2, 1), ("Sigmoid", "Tanh"))


@lowering("RNN")
def rnn(node: Node, low: Lowering) -> None:
    _unroll(node, low, _rnn_cell, (1,), ("Tanh",))


def _lstm_cell(
    low: Lowering, gates: Sequence[_Gates], inputs: Sequence[LayoutView], state: _State, activations: Sequence[str]
) -> _State:
    hidden, cell = state
    candidates, new = (_sum(low, part, gate.of_state(hidden)) for part, gate in zip(inputs, gates, strict=True))
    i, o, f = parted(low, elementwise(low, activations[0], candidates), 1, 3)
    cell = _sum(
        low,
        elementwise(low, "MUL", i, elementwise(low, activations[1], new)),
        None if cell is None else elementwise(low, "MUL", f, cell),
    )
    return elementwise(low, "MUL", o, elementwise(low, activations[2], cell)), cell


def _gru_cell(
    low: Lowering,
    gates: Sequence[_Gates],
    inputs: Sequence[LayoutView],
    state: _State,
    activations: Sequence[str],
    *,
    linear_before_reset: bool,
) -> _State:
    (hidden,) = state
    candidates = elementwise(low, activations[0], _sum(low, inputs[0], gates[0].of_state(hidden)))
    z, r = parted(low, candidates, 1, 2)
    if linear_before_reset:
        recurrent = gates[1].of_state(hidden)
        recurrent = None if recurrent is None else elementwise(low, "MUL", r, recurrent)
    else:
        recurrent = gates[1].of_state(None if hidden is None else elementwise(low, "MUL", r, hidden))
    new = elementwise(low, activations[1], _sum(low, inputs[1], recurrent))
    if hidden is None:
        return (elementwise(low, "SUB", new, elementwise(low, "MUL", z, new)),)
    difference = elementwise(low, "SUB", hidden, new)
    return (elementwise(low, "ADD", new, elementwise(low, "MUL", z, difference)),)


def _rnn_cell(
    low: Lowering, gates: Sequence[_Gates], inputs: Sequence[LayoutView], state: _State, activations: Sequence[str]
) -> _State:
    return (elementwise(low, activations[0], _sum(low, inputs[0], gates[0].of_state(state[0]))),)


def _sum(low: Lowering, left: LayoutView, right: LayoutView | None) -> LayoutView:
    return left if right is None else elementwise(low, "ADD", left, right)


def _unroll(node: Node, low: Lowering, cell: _Cell, groups: Sequence[int], functions: Sequence[str]) -> None:
    """Emit all steps of all directions.

    Args:
        node: The node.
        low: The lowering.
        cell: Step of the network.
        groups: Number of gates that are computed together, in the order of the weights.
        functions: Default activations of a direction.
    """
    batch_first = bool(node.get("layout", 0))
    x = low.view(node.inputs[0])
    x = x.transposed((1, 0, 2)) if batch_first else x
    steps, batch = x.shape[:2]
    _check(node, low, steps)
    directions = {"forward": [False], "reverse": [True]}.get(node.get("direction", "forward"), [False, True])
    activations = _activations(node, len(directions), functions)
    sequences, lasts = [], []
    for direction, backward in enumerate(directions):
        gates = _gates(node, low, x, direction, groups)
        state = tuple(
            _initial(node, low, index, direction, batch_first=batch_first)
            for index in ((5, 6) if node.op == "LSTM" else (5,))
        )
        hidden: list[LayoutView] = []
        for step in range(steps)[:: -1 if backward else 1]:
            inputs = [part.of_input(step, batch) for part in gates]
            state = cell(low, gates, inputs, state, activations[direction])
            assert state[0] is not None
            hidden.append(state[0])
        sequences.append(concatenated(low, hidden[:: -1 if backward else 1], 0))
        lasts.append([part for part in state if part is not None])
    sequence = concatenated(low, sequences, 1)  # (steps * batch, directions * hidden): the order that readers need
    sequence = low.reshaped(sequence, (steps, batch, len(directions), sequence.shape[1] // len(directions)))
    _write(node, low, 0, sequence.transposed((1, 0, 2, 3) if batch_first else (0, 2, 1, 3)))
    for index, states in enumerate(zip(*lasts, strict=True), start=1):
        last = concatenated(low, states, 1)
        last = low.reshaped(last, (batch, len(directions), last.shape[1] // len(directions)))
        _write(node, low, index, last if batch_first else last.transposed((1, 0, 2)))


def _write(node: Node, low: Lowering, index: int, view: LayoutView) -> None:
    if index < len(node.outputs) and node.outputs[index]:
        low.write(node.outputs[index], view)


def _check(node: Node, low: Lowering, steps: int) -> None:
    lengths = low.array(node.input(4)) if node.input(4) else np.array(steps)
    if lengths is None or (lengths != steps).any():
        raise node.unsupported("sequences of different lengths", f"of constant lengths {steps}, that of the input")
    if node.get("clip") is not None:
        raise node.unsupported(f"clip {node.get('clip')}", "without clip")


def _activations(node: Node, directions: int, functions: Sequence[str]) -> list[list[str]]:
    """Return the TFLite operators of the activations of each direction."""
    names = node.get("activations") or [*functions] * directions
    names = [name.decode() if isinstance(name, bytes) else name for name in names]
    for name in names:
        if name not in _ACTIVATIONS:
            raise node.unsupported(f"the activation {name}", f"one of {', '.join(_ACTIVATIONS)}")
    codes = [_ACTIVATIONS[name] for name in names]
    return [codes[index * len(functions) : (index + 1) * len(functions)] for index in range(directions)]


def _gates(node: Node, low: Lowering, x: LayoutView, direction: int, groups: Sequence[int]) -> list[_Gates]:
    w, r = (low.array(name) for name in node.inputs[1:3])
    b = low.array(node.input(3)) if node.input(3) else np.zeros((2, 2 * sum(groups) * node.get("hidden_size")))
    if w is None or r is None or b is None:
        raise node.unsupported("weights that are computed", "constant")
    hidden = r.shape[-1]
    b_input, b_state = b[direction].astype(np.float32).reshape(2, -1)
    gates, start = [], 0
    for count in groups:
        rows = slice(start * hidden, (start + count) * hidden)
        start += count
        separate = bool(node.get("linear_before_reset", 0)) and count == 1  # the reset gate scales this bias
        bias = b_input[rows] if separate else b_input[rows] + b_state[rows]
        products = fully_connected(low, x, w[direction][rows].T, bias)
        flat = low.arranged(products, (0, 1, 2), (products.shape[0] * products.shape[1], products.shape[2]))
        weights = low.constant("recurrent_weights", r[direction][rows])
        state_bias = low.constant("recurrent_bias", b_state[rows]) if separate else None
        gates.append(_Gates(low, LayoutView.of(flat), weights, state_bias))
    return gates


def _initial(node: Node, low: Lowering, index: int, direction: int, *, batch_first: bool) -> LayoutView | None:
    """Return an initial state (batch, hidden) of a direction; None for zeros."""
    if not node.input(index):
        return None
    values: Array | None = low.array(node.inputs[index])
    if values is not None:
        part = values[:, direction] if batch_first else values[direction]
        return constant(low, "initial", part) if part.any() else None
    view = low.view(node.inputs[index])
    view = view.transposed((1, 0, 2)) if batch_first else view
    part_of_view = sliced(low, view, {0: range(direction, direction + 1)})
    return low.reshaped(part_of_view, part_of_view.shape[1:])
