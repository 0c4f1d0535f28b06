"""Check for values that an int8 file stores with too few steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgeprune.backends.tflm.linting.finding import Finding
from edgeprune.backends.tflm.linting.tflite_network import Operator, Tensor, TfliteNetwork, TfliteSubgraph
from edgeprune.operator_facts.tflite_operators import TFLITE

_MIN_STEPS = 16
_LEVELS = 255
"""Steps between the smallest and the largest int8 value."""


def narrow_ranges(network: TfliteNetwork) -> Iterator[Finding]:
    """Find parts of a concatenation, and outputs, whose values differ by few steps of the scale that they end with.

    A concatenation has one scale. Scores from 0 to 1 next to boxes from 0 to 320 become one or two different values.
    """
    for number, graph in enumerate(network.graphs):
        producers = {tensor.index: op for op in graph.operators for tensor in op.outputs}
        for tensor, scale, role in _stored(graph):
            steps = round(_width(tensor, producers) / scale)
            if steps < _MIN_STEPS:
                yield Finding(
                    "warning",
                    "narrow-range",
                    f"{role} whose values differ by at most {steps} of {_LEVELS} steps, as its scale {scale:.3g} is "
                    "that of larger values",
                    "give parts with different ranges outputs of their own, or keep them float",
                    tensor=tensor.name,
                    graph=number,
                )


def _stored(graph: TfliteSubgraph) -> Iterator[tuple[Tensor, float, str]]:
    """Yield the checked tensors, each with the scale that its values end with, and its role in messages."""
    for op in graph.operators:
        scale = op.outputs[0].scale if op.kind == "CONCATENATION" else None
        parts = [tensor for tensor in op.inputs if tensor is not None and not tensor.is_constant]
        yield from ((tensor, scale, f"an input of op {op.index}") for tensor in parts if scale)
    yield from ((tensor, tensor.scale, "an output") for tensor in graph.outputs if tensor.scale)


def _width(tensor: Tensor, producers: Mapping[int, Operator]) -> float:
    """Return an upper limit of the difference between two values of ``tensor``, from the operators that compute it."""
    width = _LEVELS * tensor.scale if tensor.scale else float("inf")
    op = producers.get(tensor.index)
    if op is None:
        return width
    facts = TFLITE[op.kind]
    if facts.result_range is not None:
        return min(width, facts.result_range)
    computed = [source for source in op.inputs if source is not None and not source.is_constant]
    is_copy = (facts.casts or facts.moves) and len(computed) == 1
    return min(width, _width(computed[0], producers)) if is_copy else width
