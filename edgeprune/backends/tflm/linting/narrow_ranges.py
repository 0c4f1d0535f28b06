"""Check for values that an int8 file stores with too few steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgeprune.backends.tflm.linting.finding import Finding
from edgeprune.backends.tflm.linting.tflite_network import Operator, Tensor, TfliteNetwork
from edgeprune.operator_facts.tflite_operators import TFLITE

_MIN_STEPS = 16
_LEVELS = 255
"""Steps between the smallest and the largest int8 value."""
_WIDTHS = {"LOGISTIC": 1.0, "SOFTMAX": 1.0, "TANH": 2.0, "RELU6": 6.0, "RELU_N1_TO_1": 2.0}
"""Difference between the largest and the smallest result of operators with bounded results."""


def narrow_ranges(network: TfliteNetwork) -> Iterator[Finding]:
    """Find parts of a concatenation, and outputs, whose values differ by few steps of the scale that they end with.

    A concatenation has one scale. Scores from 0 to 1 next to boxes from 0 to 320 become one or two different values.
    """
    for number, graph in enumerate(network.graphs):
        producers = {tensor.index: op for op in graph.operators for tensor in op.outputs}
        for op in graph.operators:
            if op.kind == "CONCATENATION" and op.outputs[0].scale:
                for tensor in op.inputs:
                    if tensor is not None and not tensor.is_constant:
                        yield from _finding(
                            tensor, op.outputs[0].scale, producers, f"an input of op {op.index}", number
                        )
        for tensor in graph.outputs:
            if tensor.scale:
                yield from _finding(tensor, tensor.scale, producers, "an output", number)


def _finding(
    tensor: Tensor, scale: float, producers: Mapping[int, Operator], role: str, graph: int
) -> Iterator[Finding]:
    steps = round(_width(tensor, producers) / scale)
    if steps < _MIN_STEPS:
        yield Finding(
            "warning",
            "narrow-range",
            f"{role} whose values differ by at most {steps} of {_LEVELS} steps, as its scale {scale:.3g} is that of "
            "larger values",
            "give parts with different ranges outputs of their own, or keep them float",
            tensor=tensor.name,
            graph=graph,
        )


def _width(tensor: Tensor, producers: Mapping[int, Operator]) -> float:
    """Return an upper limit of the difference between two values of ``tensor``, from the operators that compute it."""
    width = _LEVELS * tensor.scale if tensor.scale else float("inf")
    op = producers.get(tensor.index)
    if op is None:
        return width
    if op.kind in _WIDTHS:
        return min(width, _WIDTHS[op.kind])
    single = [source for source in op.inputs if source is not None and not source.is_constant]
    is_copy = op.kind in ("QUANTIZE", "DEQUANTIZE") or (TFLITE[op.kind].moves and len(single) == 1)
    return min(width, _width(single[0], producers)) if is_copy and len(single) == 1 else width
