"""Which operators at the end of a network stay float, so that parts of unlike range keep their own scale.

A detector may end with ``cat([boxes * 320, scores], 1)``. One int8 scale over both would leave the scores one or two
values. Such a concatenation, and what only moves its result on to an output, is computed on floats; each part is still
quantized with its own scale.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNLIKE = 4.0
"""Ratio of the largest magnitudes of two parts from which one scale takes two bits or more from the smaller one."""


@dataclass(frozen=True)
class OutputOperator:
    """An operator, as far as this matters.

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
    """Indices of the operators that stay float, in O(operators).

    Args:
        steps: In topological order.
        outputs: Names of the outputs of the network.
        magnitudes: Largest magnitude of every value that is not a constant.
    """
    reaching = set(outputs)  # values that reach an output and are only moved on the way
    last: list[int] = []
    for index in reversed(range(len(steps))):
        if steps[index].moves and not reaching.isdisjoint(steps[index].outputs):
            last.append(index)
            reaching.update(steps[index].inputs)
    found: set[int] = set()
    floats: set[Hashable] = set()
    for index in reversed(last):
        step = steps[index]
        parts = [magnitudes[name] for name in step.inputs if magnitudes.get(name)]
        unlike = step.joins and len(parts) > 1 and max(parts) > UNLIKE * min(parts)
        if unlike or not floats.isdisjoint(step.inputs):
            found.add(index)
            floats.update(step.outputs)
    return frozenset(found)
