"""Gates on what units give: closed, they are the pruned network; their gradients are those of autograd."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils import _pytree as pytree

from edgeprune import graph
from edgeprune.graph import Units, capture, units_of
from edgeprune.schedules.gates import Gates
from tests.networks.collection import NAMES, cases, make, shared
from tests.networks.convolutional import Head, block

_UNGATED = ("parametrised",)
"""Their weights are computed anew from others at every forward."""
_MIXED = ("normalisations", "tokens-and-positions", "grouped-queries")
"""A mean over channels still sees closed ones."""


def _removable(units: Units, share: float, seed: int = 0) -> Tensor:
    """A random mask of units that may go together."""
    removed = units.prunable & (torch.rand(len(units), generator=torch.Generator().manual_seed(seed)) < share)
    for floor in units.floors:
        removed[floor[0]] = False
    return removed


@pytest.mark.parametrize("name", cases(name for name in NAMES if name not in (*_UNGATED, *_MIXED)))
def test_closed_gates_equal_the_pruned_network(name: str) -> None:
    _check_closed_gates(name, "heads")


@pytest.mark.parametrize("name", ["fused-projection", "repeated-keys"])  # the only ones with heads
def test_closed_gates_of_head_dimensions_equal_the_pruned_network(name: str) -> None:
    _check_closed_gates(name, "head_dim")


def _check_closed_gates(name: str, attention: str) -> None:
    network, example, units = shared(name, attention=attention)
    network = copy.deepcopy(network)
    gates = Gates(network, units)
    assert bool(gates.gated[units.prunable].all()) or name == "repeated-keys"  # multiplied by an einsum
    removed = _removable(units, 0.8) & gates.gated
    small, _ = graph.shrink(copy.deepcopy(network), units, removed, verify=False, copy=True)

    gates.set(1.0 - removed.float())

    with torch.no_grad():
        want, got = (pytree.tree_leaves(model(*example)) for model in (small.model, network))
    assert bool(removed.any())
    for one, other in zip(want, got, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in NAMES if name not in _UNGATED])
def test_dense_weights_are_restored(name: str) -> None:
    network, _, units = shared(name)
    network = copy.deepcopy(network)
    before = copy.deepcopy(network.state_dict())
    gates = Gates(network, units)
    gates.set(torch.rand(len(gates.values)))
    assert any(not torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
    gates.restore()
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())


def test_units_without_a_consuming_weight_have_no_gate() -> None:
    network, example = make("parametrised")
    units = units_of(capture(network, example))
    gates = Gates(network, units)
    gates.set(torch.zeros(len(units)))
    open_ = {group.name for group in units.groups if bool((gates.values[group.start : group.stop] == 1).all())}
    assert open_ == {group.name for group in units.groups} - {"third.0"}


class _Explicit(nn.Module):
    """A residual stream, a concatenation and a depthwise convolution, with gates written into the forward."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one = block(3, 6), block(6, 6)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.left, self.right, self.hidden, self.last = block(6, 4), block(6, 5), nn.Linear(9 * 4, 7), nn.Linear(7, 3)
        self.gate: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        stream = self.stem(x)
        stream = stream + self.one(self._give("stem.0", stream))
        stream = self._give("stem.0", self.depthwise(stream))
        joined = torch.cat([self._give("left.0", self.left(stream)), self._give("right.0", self.right(stream))], 1)
        features = functional.adaptive_avg_pool2d(joined, 2).flatten(1)
        return self.last(self._give("hidden", functional.relu(self.hidden(features))))

    def _give(self, group: str, x: Tensor) -> Tensor:
        return x * self.gate[group].reshape(-1, *[1] * (x.ndim - 2)) if group in self.gate else x


def _gradients(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    network(x).square().sum().backward()
    return {
        name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None
    }


def test_gradients_are_those_of_gates_in_the_forward() -> None:
    torch.manual_seed(0)
    network = _Explicit().double()
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    units = units_of(capture(network, (x,)))
    gates = Gates(network, units)
    values = torch.rand(len(units)) + 0.2
    dense = copy.deepcopy(network.state_dict())

    gates.set(values)
    folded = _gradients(network, x)
    got = gates.gradients()
    assert all(torch.equal(tensor, dense[name]) for name, tensor in network.named_parameters())
    chained = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}

    leaves = {group.name: values[group.start : group.stop].double().requires_grad_() for group in units.groups}
    network.gate = leaves
    explicit = _gradients(network, x)
    for group in units.groups:
        want = leaves[group.name].grad
        if group.frozen is None:
            torch.testing.assert_close(got[group.start : group.stop].double(), want, rtol=1e-4, atol=1e-4)
    for name, want in explicit.items():
        torch.testing.assert_close(chained[name], want, rtol=1e-5, atol=1e-6)

    network.gate = {}
    gates.set(values)
    _gradients(network, x)
    gates.gradients(straight=True)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.grad, folded[name], rtol=0, atol=0)


class _Crossed(nn.Module):
    """An attention whose queries are both scaled along what they read and what they give."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.q, self.k, self.v = (nn.Linear(size, 8) for size in (6, 8, 8, 8))
        self.last = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        q, k, v = (part(x).unflatten(-1, (2, 4)).transpose(1, 2) for part in (self.q, self.k, self.v))
        y = functional.softmax((q * 0.5) @ k.transpose(-2, -1), -1) @ v
        return self.last(y.transpose(1, 2).flatten(2)).mean(1)


def test_crossing_slices_count_each_other() -> None:
    torch.manual_seed(0)
    network, x = _Crossed().double(), torch.randn(2, 5, 6, dtype=torch.float64)
    units = units_of(capture(network, (x,)), attention="head_dim")
    gates = Gates(network, units)
    assert bool(gates.gated[units.prunable].all())
    values = torch.rand(len(units)) + 0.5
    gates.set(values)
    _gradients(network, x)
    gradients = gates.gradients()
    for unit in units.prunable.nonzero().flatten()[:: max(1, len(units) // 6)]:
        losses = []
        for change in (1e-4, -1e-4):
            moved = values.clone()
            moved[unit] += change
            gates.set(moved)
            losses.append(network(x).square().sum().item())
            gates.restore()
        assert (losses[0] - losses[1]) / 2e-4 == pytest.approx(float(gradients[unit]), rel=0.05, abs=1e-2)


def test_gates_state_survives_a_round_trip() -> None:
    network, example = make("u-net")
    units = units_of(capture(network, example))
    gates = Gates(network, units)
    gates.set(torch.rand(len(units)))
    stored = io.BytesIO()
    torch.save((network.state_dict(), gates.state_dict()), stored)
    stored.seek(0)
    gates.restore()
    dense = copy.deepcopy(network.state_dict())

    other, _ = make("u-net", seed=1)
    again = Gates(other, units_of(capture(other, example)))
    again.set(torch.zeros(len(units)))
    weights, state = torch.load(stored, weights_only=True)
    other.load_state_dict(weights)
    again.load_state_dict(state)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in other.state_dict().items())
    again.restore()
    assert all(torch.equal(tensor, dense[name]) for name, tensor in other.state_dict().items())


def test_any_loop_trains_under_gates() -> None:
    network = nn.Sequential(block(3, 8), Head(8))
    x, labels = torch.randn(16, 3, 8, 8), torch.randint(0, 5, (16,))
    units = units_of(capture(network, (x,)))
    gates = Gates(network, units)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
    closed = torch.ones(len(units))
    closed[units.prunable.nonzero()[0]] = 0
    gates.set(closed)
    losses = []
    for _ in range(10):
        loss = functional.cross_entropy(network(x), labels)
        optimizer.zero_grad()
        loss.backward()
        gates.gradients()
        optimizer.step()
        gates.set(closed)
        losses.append(loss.item())
    assert losses[-1] < losses[0]
