"""Streaming networks that take and return recurrent states: hidden units are removed from the states, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import edgeprune as ep
from edgeprune.export.onnx_export import export

_STEPS, _BATCH, _HIDDEN = 5, 3, 12


class Lstm(nn.Module):
    def __init__(self, layers: int = 1) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, _HIDDEN, layers, batch_first=True), nn.Linear(_HIDDEN, 4)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y, state = self.lstm(x, state)
        return self.head(y), state


class Gru(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(6, _HIDDEN, batch_first=True), nn.Linear(_HIDDEN, 4)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        y, state = self.gru(x, state.transpose(0, 1).contiguous())  # the batch first, as some runtimes want it
        return self.head(y), state.transpose(0, 1)


class Cells(nn.Module):
    """Two cells over time, with states in one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.GRUCell(6, _HIDDEN), nn.GRUCell(_HIDDEN, _HIDDEN)
        self.head = nn.Linear(_HIDDEN, 4)

    def forward(self, x: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        one, two = states.unbind(0)
        for step in range(x.shape[1]):
            one = self.first(x[:, step], one)
            two = self.second(one, two)
        return self.head(two), torch.stack([one, two])


def _state(layers: int = 1) -> Tensor:
    return torch.randn(layers, _BATCH, _HIDDEN)


_CASES = {
    "lstm": (Lstm, lambda: ((_state(), _state()),)),
    "two-layers": (lambda: Lstm(2), lambda: ((_state(2), _state(2)),)),
    "gru": (Gru, lambda: (_state().transpose(0, 1).contiguous(),)),
    "cells": (Cells, lambda: (_state(2),)),
}


@pytest.mark.parametrize("name", _CASES)
def test_states_shrink_with_the_hidden_units(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, states = _CASES[name]
    network, example = make().eval(), (torch.randn(_BATCH, _STEPS, 6), *states())
    pruned = ep.prune(network, example, budget={"macs": 0.5})
    assert pruned.equivalence is not None
    assert pruned.states
    assert all(shape[-1] < _HIDDEN for shape in pruned.states.values())

    shapes = iter(pruned.states.values())
    x, *initial = example
    small = (x, *torch.utils._pytree.tree_map(lambda _: torch.randn(next(shapes)), tuple(initial)))
    y, state = pruned.model(*small)
    leaves = torch.utils._pytree.tree_leaves
    assert [s.shape for s in leaves(state)] == [s.shape for s in leaves(small[1:])]  # goes in again as it came out
    pruned.model.train()(*small)[0].square().mean().backward()

    exported = export(pruned.model.eval(), small, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    feeds = dict(zip(exported.input_names, (tensor.numpy() for tensor in leaves(small)), strict=True))
    for actual, expected in zip(session.run(None, feeds), leaves(pruned.model(*small)), strict=True):
        np.testing.assert_allclose(actual, expected.detach().numpy(), atol=1e-5)
    assert y.shape[0] == _BATCH


class StateOut(nn.Module):
    """Takes no state, but returns one: its size is part of the interface."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, _HIDDEN, batch_first=True), nn.Linear(_HIDDEN, 4)

    def forward(self, x: Tensor) -> Any:
        y, state = self.lstm(x)
        return self.head(y), state


def test_state_that_is_only_returned_is_frozen() -> None:
    groups = ep.groups(StateOut().eval(), (torch.randn(_BATCH, _STEPS, 6),))
    assert [group.frozen for group in groups if group.name.startswith("lstm")] == ["output of the network"]
