"""A constant choice of channels into the weights of the layer that makes them, across the activations between."""

from __future__ import annotations

import numpy as np

from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor, TfliteGraph, TfliteOp, Uses


def fold_channel_choices(graph: TfliteGraph) -> None:
    uses = Uses(graph)
    gone = []
    for op in graph.ops:
        if op.code != "GATHER" or op.options.axis != len(op.first.shape) - 1:
            continue
        path = _path(op, uses)
        chosen = op.inputs[1]
        if path is None or chosen is None or chosen.data is None:
            continue
        _choose(path[0], chosen.data)
        for passed in path:
            passed.output.shape = (*passed.output.shape[:-1], chosen.data.size)
        path[-1].outputs = op.outputs
        gone.append(op)
    graph.remove(gone)


def _path(gather: TfliteOp, uses: Uses) -> list[TfliteOp] | None:
    """The layer whose channels are chosen, then the activations up to ``gather``; None where there is more between."""
    path: list[TfliteOp] = []
    reader = gather
    while True:
        op = uses.producer(reader.first)
        if op is None or uses.sole_reader(reader.first) is not reader:
            return None
        path.append(op)
        if op.code in ("CONV_2D", "FULLY_CONNECTED"):
            weights = op.inputs[1]
            grouped = op.code == "CONV_2D" and weights is not None and weights.shape[3] != op.first.shape[3]
            return None if grouped or weights is None or not weights.is_constant else path[::-1]
        if not TFLITE[op.code].by_element:
            return None
        reader = op


def _choose(layer: TfliteOp, chosen: Array) -> None:
    facts = TFLITE[layer.code]
    for place, axis in ((1, facts.channel_axis), (facts.bias_input, 0)):
        assert place is not None
        old = layer.inputs[place]
        if old is not None:
            assert old.data is not None
            layer.inputs[place] = Tensor.constant(old.name, np.take(old.data, chosen, axis))
