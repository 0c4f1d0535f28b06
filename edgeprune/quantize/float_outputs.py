"""Selection of operators at the end of a network that remain float, so that parts with different ranges keep scales.

A detector may end with ``cat([boxes * 320, scores], 1)``. With one int8 scale for both, the scores would have only one
or two distinct values. Such a concatenation, and operators that only move its result to an output, run on floats. Each
part is still quantized with a separate scale.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNLIKE = 4.0
"""Ratio of the largest magnitudes of two parts. Above it, a common scale costs the smaller part two bits or more."""


@dataclass(frozen=True)
class OutputOperator:
    """Properties of an operator that determine whether it remains float.

    Attributes:
        inputs: Names of the tensors that it reads.
        outputs: Names of the tensors that it writes.
        moves: Whether it only moves, joins or repeats values.
        joins: Whether it joins several values into one.
    """

    inputs: Sequence[Hashable]
    outputs: Sequence[Hashable]
    moves: bool
    joins: bool


def float_steps(
    steps: Sequence[OutputOperator], outputs: Collection[Hashable], magnitudes: Mapping[Any, float]
) -> frozenset[int]:
    """Return the indices of the operators that remain float, in O(operators).

    Args:
        steps: Operators in topological order.
        outputs: Names of the outputs of the network.
        magnitudes: Largest magnitude of every value that is not a constant.
    """
    reaching = set(outputs)  # values that reach an output and are only moved on the way
    last: list[int] = []
    for index in reversed(range(len(steps))):
        if steps[index].moves and not reaching.isdisjoint(steps[index].outputs):
            last.append(index)
            reaching.update(steps[index].inputs)
    float_indices: set[int] = set()
    floats: set[Hashable] = set()
    for index in reversed(last):
        step = steps[index]
        parts = [magnitudes[name] for name in step.inputs if magnitudes.get(name)]
        unlike = step.joins and len(parts) > 1 and max(parts) > UNLIKE * min(parts)
        if unlike or not floats.isdisjoint(step.inputs):
            float_indices.add(index)
            floats.update(step.outputs)
    return frozenset(float_indices)
