"""The memory plan keeps every value until its last reader has read it, and small plans are optimal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest

from edgeprune.backends.c.int8_network import Int8Network, Tensor
from edgeprune.backends.c.layer import operator_of
from edgeprune.backends.c.memory_planner import MemoryPlan, plan_memory
from tests.backends.c.random_networks import network

_MOST_BUFFERS = 7
Buffer = tuple[int, int, int]
"""Size, first and last step."""


def _cells(plan: MemoryPlan, tensor: Tensor) -> range:
    return range(plan.offsets[tensor], plan.offsets[tensor] + tensor.bytes)


def _check_values(net: Int8Network, plan: MemoryPlan) -> None:
    """Run the network on a memory whose cells hold the name of the value that is stored there."""
    memory: dict[int, object] = {}
    values: dict[Tensor, object] = {}
    for step in net.steps:
        facts = operator_of(step)
        sources = [one for one in step.activations if one in plan.offsets]
        for source in sources:
            assert {memory[cell] for cell in _cells(plan, source)} == {values[source]}, (step, source)
        output = step.output
        values[output] = values.get(next(iter(step.activations))) if facts.is_view else output
        if output not in plan.offsets:
            continue
        written = set(_cells(plan, output))
        for source in sources:
            shared = written & set(_cells(plan, source))
            assert not shared or facts.is_view or (facts.in_place and written == set(_cells(plan, source)))
        if facts.is_view and not any(one in plan.offsets for one in step.activations):
            values[output] = output  # a copy of an input of the network
        memory.update(dict.fromkeys(written, values[output]))
        assert max(written) < plan.arena_bytes
        assert min(written) % 4 == 0


@pytest.mark.parametrize("seed", range(60))
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


@pytest.mark.parametrize("seed", range(60))
def test_small_plans_are_optimal(seed: int) -> None:
    """In one of the orders, the lowest free places are an optimal plan."""
    net = network(1000 + seed, 8)
    plan = plan_memory(net)
    buffers = _buffers(net, plan)
    assert len(buffers) <= _MOST_BUFFERS
    assert plan.lower_bound_bytes <= plan.arena_bytes == min(map(_first_fit, permutations(buffers)))


def test_exact_plan_is_smaller_than_greedy_plans_where_these_are_not_optimal() -> None:
    differences = []
    for seed in range(300):
        net = network(5000 + seed, 14)
        plan = plan_memory(net)
        buffers = _buffers(net, plan)
        orders = [
            sorted(buffers, key=lambda one: (-one[0], one[1])),
            sorted(buffers, key=lambda one: (one[1], -one[0])),
        ]
        differences.append(min(map(_first_fit, orders)) - plan.arena_bytes)
    assert min(differences) >= 0
    assert max(differences) > 0
