"""Every rule of the graph engine, on networks of random sizes: coupling, slicing and cost against execution."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edgeprune.cost import cost_of
from edgeprune.graph import Units, capture, shrink, units_of
from edgeprune.graph.graph_operators import is_operator_call, operator_name
from edgeprune.graph.rules import registered
from tests.conformance.examples import CAPTURED_AS, Build, Draw, Example, examples
from tests.example_count import example_count

_FAST_OF_A_RULE = 4


def _fast() -> set[str]:
    """The first operators of each class of rules."""
    by_class: dict[type, list[str]] = {}
    for op, rule in sorted(registered().items()):
        by_class.setdefault(type(rule), []).append(op)
    return {op for ops in by_class.values() for op in ops[:_FAST_OF_A_RULE]}


_CASES = [
    pytest.param(
        op,
        build,
        id=f"{op.removeprefix('aten.')}-{index}",
        marks=[] if op in _fast() and index == 0 else [pytest.mark.long],
    )
    for op, builds in sorted(examples().items())
    for index, build in enumerate(builds)
]

_EXPLORE = settings.default.max_examples >= 1000


@pytest.fixture(scope="module", autouse=True)
def _frozen_heap() -> Iterator[None]:
    """Capture makes much garbage; collecting it is slow while all of torch is looked through each time."""
    gc.freeze()
    yield
    gc.unfreeze()


def test_every_rule_has_an_example() -> None:
    missing = sorted(set(registered()) - set(examples()))
    assert not missing, f"operators without an example in tests/conformance/examples: {', '.join(missing)}"


def test_every_operator_exists() -> None:
    assert not [op for op in registered() if not hasattr(torch.ops.aten, op.removeprefix("aten."))]


@pytest.mark.parametrize(("op", "build"), _CASES)
@example_count(3, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
@given(data=st.data(), seed=st.integers(0, 1000), recount=st.sampled_from([True, *[False] * 5]))
def test_rule(op: str, build: Build, data: st.DataObject, seed: int, recount: bool) -> None:
    torch.manual_seed(seed)
    example = build(Draw(data))
    network = _jittered(example.network)
    program = capture(network, example.inputs)
    names = {operator_name(node.target) for node in program.graph.nodes if is_operator_call(node)}
    assert names & {op, CAPTURED_AS.get(op)}, f"the example shows no {op}, but {sorted(names)}"

    units = units_of(program)
    _check_units(units, example)
    if example.counted:
        assert cost_of(units, network).macs == _flops(network, example.inputs) / 2
    removed = _some(units)
    assert bool(removed.any()) == bool(units.prunable.any())
    small, equivalence = shrink(network, units, removed)
    assert equivalence is not None
    assert equivalence.max_error < 1e-5
    with torch.no_grad():
        assert bool(small.model(*example.inputs).isfinite().all())
    cost = cost_of(units, network, removed)
    assert cost.params == sum(parameter.numel() for parameter in small.model.parameters())
    if example.counted:
        assert cost.macs == _flops(small.model, example.inputs) / 2
    # Capture takes most of the time. tests/graph/test_networks.py counts every network again.
    if recount and _EXPLORE:
        again = cost_of(units_of(capture(small.model, example.inputs)), small.model)
        assert (again.macs, again.params) == (cost.macs, cost.params)


def _jittered(network: nn.Module) -> nn.Module:
    """In evaluation mode, no two weights alike."""
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            tensor.data += 0.1 * torch.rand_like(tensor)
    return network.eval()


def _check_units(units: Units, example: Example) -> None:
    for layer, count in example.units.items():
        groups = [group for group in units.groups if any(m.tensor.startswith(layer) for m in group.producers)]
        result = sum(len(group) for group in groups if group.frozen is None)
        assert result == count, f"{layer}: {result} units may go, not {count}: {groups}"
    for layer, reason in example.frozen.items():
        lines = [group.frozen for group in units.groups if group.frozen and group.producers[0].tensor.startswith(layer)]
        assert any(reason in text for text in lines), f"{layer}: {lines} instead of {reason!r}"


def _some(units: Units) -> Tensor:
    """About half of the units; one stays of each set of which one must."""
    order = units.prunable.nonzero().flatten()
    order = order[torch.randperm(len(order))]
    removed = torch.zeros(len(units), dtype=torch.bool)
    for unit in order[: (len(order) + 1) // 2]:
        removed[unit] = True
        if any(bool(removed[floor].all()) for floor in units.floors):
            removed[unit] = False
    return removed


def _flops(model: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(*inputs)
    return counter.get_total_flops()
