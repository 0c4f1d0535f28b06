"""Functions of one element: operators that depend on one int8 tensor, element by element, become one table.

For each int8 result, its operators are collected backwards: over floats always, and over int8 tensors as long as no
other step reads them, or where two operands have a common source (SiLU is ``x * sigmoid(x)``). If one int8 tensor is
all that remains, the operators are a function of its 256 values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edgeprune.backends.c.int8_network import Int8Network, Step, Tensor
from edgeprune.operator_facts.tflite_operators import TFLITE

TABLE = "TABLE"
"""Kind of a step that is a table, which no operator of a file has."""
_MOST_STEPS = 64
"""Largest number of operators of a function."""


def with_tables(network: Int8Network) -> Int8Network:
    """Return the network with a ``TABLE`` step for each function of one element, without the steps that it replaces."""
    graph = _Graph(network)
    steps = []
    for step in network.steps:
        function = _function(step, graph) if _is_table_candidate(step) else None
        if function is not None:
            step = Step(step.index, TABLE, (function.source,), step.outputs, None, function.steps)  # noqa: PLW2901
        steps.append(step)
    return replace(network, steps=tuple(_used(steps, network.outputs)))


@dataclass(frozen=True)
class _Function:
    source: Tensor
    steps: tuple[Step, ...]


class _Graph:
    """Producers and readers of tensors."""

    def __init__(self, network: Int8Network) -> None:
        self.producers = {tensor: step for step in network.steps for tensor in step.outputs}
        self.readers: dict[Tensor, set[Step]] = {}
        for step in network.steps:
            for tensor in step.activations:
                self.readers.setdefault(tensor, set()).add(step)
        self.outputs = set(network.outputs)

    def is_read_outside(self, tensor: Tensor, steps: set[Step]) -> bool:
        """Return whether another step than ``steps`` reads the tensor, or the caller does."""
        return tensor in self.outputs or not self.readers[tensor] <= steps


def _function(step: Step, graph: _Graph) -> _Function | None:
    """Return the longest function that computes the output of ``step``; None if it has several sources."""
    steps, sources, best = {step}, set(step.activations), None
    while len(steps) <= _MOST_STEPS:
        if len(sources) == 1:
            (source,) = sources
            if source.dtype.name == "int8":
                best = _Function(source, tuple(sorted(steps, key=lambda one: one.index)))
                if graph.is_read_outside(source, steps):
                    return best
        producers = [graph.producers[source] for source in sources if source in graph.producers]
        latest = max(producers, key=lambda one: one.index, default=None)
        if latest is None or not _is_by_element(latest):
            return best
        steps.add(latest)
        sources = (sources - set(latest.outputs)) | set(latest.activations)
        if not sources:
            return best
    return best


def _is_table_candidate(step: Step) -> bool:
    """Return whether the step computes int8 by element. A view alone has no need of a table."""
    return _is_by_element(step) and not _is_view(step) and step.output.dtype.name == "int8"


def _is_by_element(step: Step) -> bool:
    facts = TFLITE[step.kind]
    if not (facts.by_element or facts.casts or facts.combines_elements or _is_view(step)) or len(step.outputs) != 1:
        return False
    return facts.micro_kernel and all(_fits(tensor, step) for tensor in _operands(step))


def _operands(step: Step) -> Iterator[Tensor]:
    inputs = step.inputs if TFLITE[step.kind].combines_elements else step.inputs[:1]
    return (tensor for tensor in inputs if tensor is not None)


def _fits(tensor: Tensor, step: Step) -> bool:
    """Return whether the operand has one element for each of the output, or is a constant of one element."""
    return tensor.elements == (1 if tensor.data is not None else step.output.elements)


def _is_view(step: Step) -> bool:
    from edgeprune.backends.c.layer import registered

    operator = registered().get(step.kind)
    return operator is not None and operator.is_view


def _used(steps: list[Step], outputs: tuple[Tensor, ...]) -> Iterator[Step]:
    """Return the steps on which outputs depend, in order."""
    needed, used = set(outputs), []
    for step in reversed(steps):
        if not needed.isdisjoint(step.outputs):
            used.append(step)
            needed.update(step.activations)
    return reversed(used)
