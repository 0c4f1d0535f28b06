"""Blocks with their own autocast or gradient mode are captured as operators of the network, so they are pruned."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor, nn

import edgeprune
from edgeprune.graph import capture, units_of
from edgeprune.graph.graph_operators import is_operator_call

_BLOCKS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "autocast off": lambda: torch.autocast("cpu", enabled=False),
    "autocast bfloat16": lambda: torch.autocast("cpu", torch.bfloat16),
    "gradients on": torch.enable_grad,
}


class _Blocks(nn.Module):
    """A block with a nested block, a constant, and two results."""

    def __init__(self, outer: str, inner: str) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(8, 32), nn.Linear(32, 32), nn.Linear(32, 32)
        self.last = nn.Linear(32, 4)
        self.outer, self.inner = outer, inner

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        with _BLOCKS[self.outer]():
            y = self.second(x).relu() * torch.tensor(0.5)
            with _BLOCKS[self.inner]():
                z = self.third(y.float()).sigmoid()
        return self.last(y.float() + z.float())


@pytest.mark.parametrize("outer", _BLOCKS)
@pytest.mark.parametrize("inner", _BLOCKS)
def test_blocks_are_operators_of_the_program(outer: str, inner: str) -> None:
    torch.manual_seed(0)
    network, x = _Blocks(outer, inner).eval(), torch.randn(4, 8)
    program = capture(network, (x,))
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    assert all(is_operator_call(node) for node in calls)
    with torch.no_grad():
        assert torch.equal(program.module(x), network(x))
    units = units_of(program)
    assert [name for name, _ in units.frozen] == ["last"]
    assert int(units.prunable.sum()) == len(units) - 4

    result = edgeprune.prune(network, (x,), budget={"macs": 0.5})
    assert isinstance(result.model, _Blocks)
    assert result.model.second.out_features < 32


@pytest.mark.parametrize("cell", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_a_pruned_cell_makes_its_own_state(cell: type[nn.RNNCellBase]) -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.last = cell(8, 32), nn.Linear(32, 4)

        def forward(self, x: Tensor) -> Tensor:
            state = None
            for step in range(3):
                state = self.cell(x[:, step], state)
            return self.last(state[0] if isinstance(state, tuple) else state)

    result = edgeprune.prune(Steps().eval(), (torch.randn(2, 3, 8),), budget={"macs": 0.5})
    assert isinstance(result.model, Steps)
    assert result.model.cell.hidden_size < 32
    assert result.model(torch.randn(5, 3, 8)).shape == (5, 4)
