"""Divisions that cannot be computed on int8, because the divisor comes close to zero."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgeprune.quantize.calibration_samples import Array
from edgeprune.tflite.tflite_file import operator_name, tensor_name
from edgeprune.tflite.tflite_schema import schema

_FEWEST_STEPS = 16
"""Steps between zero and the smallest divisor: a divisor of 16 steps is rounded by at most 3 %."""
_STEPS = 255


def divisions_by_small_values(
    model: schema.ModelT, ranges: Mapping[str, Mapping[str, Array]]
) -> Iterator[schema.OperatorT]:
    """Yield the divisions whose divisor has values of less than 16 steps of its int8 scale.

    LiteRT and TensorFlow Lite Micro stop with an error if a divisor is rounded to zero.

    Args:
        model: Float file.
        ranges: Smallest and largest value of each activation, as ``min`` and ``max`` by name.
    """
    graph = model.subgraphs[0]
    for op in graph.operators:
        divisor = ranges.get(tensor_name(graph, int(op.inputs[1]))) if operator_name(model, op) == "DIV" else None
        if divisor is not None:
            low, high = float(divisor["min"]), float(divisor["max"])
            smallest = max(low, -high, 0.0)
            if smallest < _FEWEST_STEPS * (max(high, 0.0) - min(low, 0.0)) / _STEPS:
                yield op
