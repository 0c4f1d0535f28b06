"""Recurrent networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from tests.conformance.lowerings.base import Example, Maker, assemble, example

_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


@example("LSTM", "GRU", "RNN")
def recurrent(make: Maker, op: str) -> Example:
    draw, gates = make.draw, _GATES[op]
    steps, batch, inner, hidden = draw.size(1, 12), draw.size(1, 3), draw.size(1, 4), draw.size(1, 4)
    direction = draw.one_of(None, "forward", "reverse", "bidirectional")
    count = 2 if direction == "bidirectional" else 1
    x = make.values(steps, batch, inner)
    weights = [make.values(count, gates * hidden, inner), make.values(count, gates * hidden, hidden)]
    bias = draw.one_of(None, make.values(count, 2 * gates * hidden))
    lengths = draw.one_of(None, np.full(batch, steps, np.int32))
    states = [make.values(count, batch, hidden) for _ in range(2 if op == "LSTM" else 1)]
    states = draw.one_of([], states, [np.zeros_like(state) for state in states])
    attributes: dict[str, Any] = {"direction": direction, "hidden_size": hidden}
    if op == "GRU":
        attributes["linear_before_reset"] = draw.one_of(None, 0, 1)
    if op == "RNN":
        attributes["activations"] = draw.one_of(None, ["Relu"] * count)
    return make.model(op, [x], [*weights, bias, lengths, *states], outputs=draw.size(1, len(states) + 1), **attributes)


@example("LSTM", "GRU", "RNN")
def from_computed_states(make: Maker, op: str) -> Example:
    """The states are inputs of the model."""
    gates, hidden = _GATES[op], 3
    feed = {"x": make.values(4, 2, 5), "h": make.values(1, 2, hidden), "c": make.values(1, 2, hidden)}
    if op != "LSTM":
        del feed["c"]
    weights = {"w": make.values(1, gates * hidden, 5), "r": make.values(1, gates * hidden, hidden)}
    results = ["y", *(f"last_{name}" for name in list(feed)[1:])]
    inputs = ["x", "w", "r", "", "", *list(feed)[1:]]
    node = helper.make_node(op, inputs, results, "tested", hidden_size=hidden)
    initializers = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    return Example(assemble([node], feed, results, initializers), feed)
