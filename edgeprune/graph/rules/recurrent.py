"""Hidden units of LSTM, GRU and RNN layers and cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import Rule, register

_FIXED = "read by a recurrent layer together with data whose size is fixed"


@register
class RecurrentCell(Rule):
    """One step of a recurrent layer.

    ``input`` (..., in), ``hx`` one or two states (..., hidden), ``w_ih`` (gates * hidden, in), ``w_hh`` (gates *
    hidden, hidden), and optional biases ``b_ih`` and ``b_hh`` (gates * hidden,).
    """

    ops = ("aten.lstm_cell", "aten.gru_cell", "aten.rnn_tanh_cell", "aten.rnn_relu_cell")
    first_state = 0

    def couple(self, call: Call, coupling: Coupling) -> Labels | list[Labels]:
        inputs, from_input, from_hidden = call.tensor("input"), call.tensor("w_ih"), call.tensor("w_hh")
        last, hidden = len(inputs.shape) - 1, from_hidden.shape[1]
        biases = [labels for name in ("b_ih", "b_hh") if (labels := call.labels(name)) is not None]
        unit = _hidden_units(coupling, [from_input, from_hidden, *biases], hidden)
        x = coupling.resolve(inputs, [last], reason="samples of a recurrent layer").get(last)
        read = coupling.tie(from_input.vector(1), x, reason=_FIXED)
        coupling.consume(call.node, "input", last, read)
        is_lstm = isinstance(call["hx"], list)
        for node in call["hx"] if is_lstm else [call["hx"]]:
            state = coupling.resolve(call.node_labels[node], [last], reason="samples of a recurrent state").get(last)
            unit = coupling.tie(unit, state, reason=_FIXED)
        unit = coupling.tie(unit, from_hidden.vector(1), reason=_FIXED)
        coupling.consume(call.node, "hx.0" if is_lstm else "hx", last, unit)
        samples = math.prod(inputs.shape[:-1])
        coupling.multiply(call.node, from_input.shape, (from_input.vector(0), read), samples)
        coupling.multiply(call.node, from_hidden.shape, (from_hidden.vector(0), unit), samples)
        if unit is not None:
            coupling.produced.append(unit)
        outputs = [Labels.of(shape, {last: unit}) for shape in call.out_shapes]
        return outputs if call.many else outputs[0]


@register
class Recurrent(Rule):
    """Recurrent layers. All layers and directions share one hidden size, because one tensor contains their states.

    ``params`` contains for each layer and direction ``w_ih`` (gates * hidden, in), ``w_hh`` (gates * hidden, hidden)
    and optionally two biases (gates * hidden,).
    """

    ops = ("aten.lstm", "aten.gru", "aten.rnn_tanh", "aten.rnn_relu")
    first_state = 1

    def couple(self, call: Call, coupling: Coupling) -> Labels | list[Labels]:
        params = [call.labels_of(node) for node in call.get("params", ())]
        per_cell = 4 if call.get("has_biases") else 2
        hidden = params[1].shape[1] if len(params) > 1 and params[1] is not None else 0
        directions = 2 if call.get("bidirectional") else 1
        cells = call.get("num_layers", 0) * directions
        if None in params or len(params) != per_cell * cells:  # packed sequences, projections
            coupling.multiply(call.node, (), (), call.macs)
            for labels in call.tensors:
                coupling.freeze_all(labels, f"{call.name} with packed sequences or projections")
            # Projections read the size of the states from their difference, so that two equal sizes are not possible.
            coupling.produced += [rows for param in params[:1] if param and (rows := param.vector(0)) is not None]
            return [Labels(shape) for shape in call.out_shapes]

        unit = _hidden_units(coupling, [param for param in params if param is not None], hidden)
        x = coupling.resolve(call.tensor("input"), [2], reason="steps of a recurrent layer").get(2)
        both = None if unit is None else unit.repeat(directions)
        for cell in range(cells):
            first = cell < directions
            from_input, from_hidden = params[per_cell * cell], params[per_cell * cell + 1]
            assert from_input is not None
            assert from_hidden is not None
            read = coupling.tie(from_input.vector(1), x if first else both, reason=_FIXED)
            state = coupling.tie(from_hidden.vector(1), unit, reason=_FIXED)
            coupling.consume(call.node, f"params.{per_cell * cell}", 1, read)
            coupling.consume(call.node, f"params.{per_cell * cell + 1}", 1, state)
            steps = math.prod(call.shape("input")[:2])
            coupling.multiply(call.node, from_input.shape, (from_input.vector(0), read), steps)
            coupling.multiply(call.node, from_hidden.shape, (from_hidden.vector(0), state), steps)
        states = call["hx"] if isinstance(call["hx"], list) else [call["hx"]]
        for node in states:
            start = call.labels_of(node)
            if start is not None:
                own = coupling.resolve(start, [2], reason="layers and samples of a recurrent state").get(2)
                coupling.tie(own, unit, reason=_FIXED)
        if unit is not None:
            coupling.produced.append(unit)
        output, *last = call.out_shapes
        return [Labels.of(output, {2: both}), *(Labels.of(shape, {2: unit}) for shape in last)]


def _hidden_units(coupling: Coupling, params: Sequence[Labels], hidden: int) -> Tensor | None:
    """Tie the rows of all gates of ``params``, (gates * hidden, ...), and return an id for each unit, (hidden,)."""
    unit: Tensor | None = None
    for index, param in enumerate(params):
        rows = param.vector(0)
        if rows is not None and hidden > 1:
            unit = coupling.tie(coupling.tie_rows(rows.reshape(-1, hidden).T), *([unit] if index else []))
    return unit
