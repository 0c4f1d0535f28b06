"""The memory plan keeps every value until its last reader has read it, and small plans are optimal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest

from edgeprune.backends.c.int8_network import Int8Network, Step, Tensor
from edgeprune.backends.c.layer import operator_of
from edgeprune.backends.c.memory_planner import MemoryPlan, plan_memory
from tests.backends.c.random_networks import network, tensor

_MOST_BUFFERS = 7
_WITHOUT_PARTS = ("MAX_POOL_2D", "SOFTMAX", "RESHAPE", "ADD")
Buffer = tuple[int, int, int]
"""Size, first and last step."""


Cell = tuple[int, int]
"""Index of an input or output of the network, or -1 for the arena, and byte."""


def _cells(net: Int8Network, plan: MemoryPlan, tensor: Tensor) -> list[Cell]:
    port, start = -1, plan.offsets.get(tensor, 0)
    if tensor in (*net.inputs, *net.outputs):
        port = tensor.index
    elif tensor in plan.in_ports:
        owner, start = plan.in_ports[tensor]
        port = owner.index
    return [(port, byte) for byte in range(start, start + tensor.bytes)]


def _values(step: Step, values: dict[Tensor, list[object]]) -> list[object]:
    """Return the value of each byte of the output: those of inputs, or new ones."""
    sources = [values[one] for one in step.activations]
    if step.kind == "CONCATENATION":
        return [value for source in sources for value in source]
    if step.kind == "SLICE":
        begin, size = int(step.input(1).values[0]), step.output.bytes
        return sources[0][begin : begin + size]
    return sources[0] if operator_of(step).is_view else [(step.index, byte) for byte in range(step.output.bytes)]


def _check_values(net: Int8Network, plan: MemoryPlan) -> None:
    """Run the network on a memory whose cells hold the name of the value that is stored there."""
    values: dict[Tensor, list[object]] = {one: [("in", byte) for byte in range(one.bytes)] for one in net.inputs}
    memory = {
        cell: value for one in net.inputs for cell, value in zip(_cells(net, plan, one), values[one], strict=True)
    }
    for step in net.steps:
        facts = operator_of(step)
        for source in step.activations:
            assert [memory[cell] for cell in _cells(net, plan, source)] == values[source], (step, source)
        output = step.output
        values[output] = _values(step, values)
        written = _cells(net, plan, output)
        if facts.parts(step) is None and not facts.is_view:
            for source in step.activations:
                shared = set(written) & set(_cells(net, plan, source))
                assert not shared or (facts.in_place and written == _cells(net, plan, source))
        memory.update(zip(written, values[output], strict=True))
        assert max(written) < (-1, plan.arena_bytes) or written[0][0] >= 0
        assert all(one.index != written[0][0] for one in net.inputs) or facts.is_view or facts.parts(step) is not None
    for one in net.outputs:
        assert [memory[cell] for cell in _cells(net, plan, one)] == values[one]


@pytest.mark.parametrize("seed", range(200))
def test_no_value_is_overwritten_before_its_last_reader(seed: int) -> None:
    net = network(seed, 12)
    _check_values(net, plan_memory(net))


def _buffers(net: Int8Network, plan: MemoryPlan) -> list[Buffer]:
    """Return the buffers of a plan; tensors at the same offset that follow each other share one."""
    last = {tensor: step.index for step in net.steps for tensor in step.activations}
    buffers: list[list[Tensor]] = []
    for step in net.steps:
        if step.output not in plan.offsets:
            continue
        facts = operator_of(step)
        shared = next(
            (
                one
                for one in buffers
                if (facts.is_view or facts.in_place)
                and any(source in one for source in step.activations)
                and plan.offsets[one[0]] == plan.offsets[step.output]
            ),
            None,
        )
        if shared is None:
            buffers.append([step.output])
        else:
            shared.append(step.output)
    number = {step.output: step.index for step in net.steps}
    return [
        (
            max(-(-one.bytes // 4) * 4 for one in buffer),
            min(number[one] for one in buffer),
            max(last.get(one, number[one]) for one in buffer),
        )
        for buffer in buffers
    ]


def _first_fit(order: Sequence[Buffer]) -> int:
    """Return the peak if each buffer is placed as low as possible."""
    placed: list[tuple[int, int, int, int]] = []
    for size, first, last in order:
        at = 0
        for start, end in sorted(
            (start, end) for start, end, *times in placed if first <= times[1] and times[0] <= last
        ):
            if start - at >= size:
                break
            at = max(at, end)
        placed.append((at, at + size, first, last))
    return max((end for _, end, _, _ in placed), default=0)


def test_operands_in_one_buffer_are_not_overwritten() -> None:
    """A sum of two overlapping slices of one tensor must not be computed in place."""
    x, whole, first, second, total, y = (tensor(index, size) for index, size in enumerate((8, 8, 6, 6, 6, 8)))
    numbers = [Tensor(10 + value, "c", (1,), np.dtype("int32"), (), 0, np.int32([value])) for value in (0, 2, 6)]
    steps = (
        Step(0, "MAX_POOL_2D", (x,), (whole,), None),
        Step(1, "SLICE", (whole, numbers[0], numbers[2]), (first,), None),
        Step(2, "SLICE", (whole, numbers[1], numbers[2]), (second,), None),
        Step(3, "ADD", (first, second), (total,), None),
        Step(4, "MAX_POOL_2D", (total,), (y,), None),
    )
    net = Int8Network((x,), (y,), steps)
    plan = plan_memory(net)
    _check_values(net, plan)
    assert plan.arena_bytes == 16


@pytest.mark.parametrize("seed", range(60))
def test_small_plans_are_optimal(seed: int) -> None:
    """In one of the orders, the lowest free places are an optimal plan."""
    net = network(1000 + seed, 8, _WITHOUT_PARTS)
    plan = plan_memory(net)
    buffers = _buffers(net, plan)
    assert len(buffers) <= _MOST_BUFFERS
    assert plan.lower_bound_bytes <= plan.arena_bytes == min(map(_first_fit, permutations(buffers)))


def test_exact_plan_is_smaller_than_greedy_plans_where_these_are_not_optimal() -> None:
    differences = []
    for seed in range(300):
        net = network(5000 + seed, 14, _WITHOUT_PARTS)
        plan = plan_memory(net)
        buffers = _buffers(net, plan)
        orders = [
            sorted(buffers, key=lambda one: (-one[0], one[1])),
            sorted(buffers, key=lambda one: (one[1], -one[0])),
        ]
        differences.append(min(map(_first_fit, orders)) - plan.arena_bytes)
    assert min(differences) >= 0
    assert max(differences) > 0
