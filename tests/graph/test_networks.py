"""Structures that pruning tools are known to get wrong: each is pruned, verified, trained, replayed and exported."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.flop_counter import FlopCounterMode

from edgeprune import Plan, groups, prune
from edgeprune.cost import cost_of
from edgeprune.graph import Units, capture, units_of
from edgeprune.pruning import PruneResult
from tests.networks.collection import NAMES, cases, make, shared

_UNCOUNTED = ("lstm", "gru", "parametrised", "tokens-and-positions", "grouped-queries")
"""torch counts no recurrent layers, no matrix-vector products, and no attention on a CPU."""


_unpickled = pytest.mark.filterwarnings("ignore::FutureWarning")  # torch, with its own tree specifications


@cache
def _pruned(name: str) -> tuple[nn.Module, tuple[Any, ...], PruneResult]:
    """A network, an example input, and the network without half of its MACs; what is trained is a copy of it."""
    network, example = make(name)
    return network, example, prune(network, example, budget={"macs": 0.5}, options={"criterion": "random"})


@pytest.mark.parametrize("name", cases())
def test_pruned_network_passes_the_equivalence_check(name: str) -> None:
    network, _, pruned = _pruned(name)
    _check(network, pruned, dense=make(name)[0])


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_network_pruned_to_a_quarter_passes_the_equivalence_check(name: str) -> None:
    network, example, units = shared(name)
    dense = copy.deepcopy(network)
    budget = {"macs": max(0.25, _floor(network, units))}
    _check(network, prune(network, example, budget=budget, options={"criterion": "random"}), dense=dense)


def _check(network: nn.Module, pruned: PruneResult, *, dense: nn.Module) -> None:
    assert pruned.equivalence is not None
    assert pruned.equivalence.max_error < 1e-5
    assert pruned.after.macs < pruned.before.macs
    assert pruned.after.params == sum(parameter.numel() for parameter in pruned.model.parameters())
    state = network.state_dict()
    assert pruned.model.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[key]) for key, tensor in dense.state_dict().items()), "the input changed"


@pytest.mark.parametrize("name", cases())
@_unpickled
def test_trains_at_any_batch_size(name: str) -> None:
    _, example, pruned = _pruned(name)
    model = copy.deepcopy(pruned.model).train()
    batch = tuple(torch.cat([tensor, tensor.flip(0)[:1]]) for tensor in example)
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for _ in range(4):
        loss = sum(leaf.square().mean() for leaf in pytree.tree_leaves(model(*batch)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_plan_replays_to_the_same_weights(name: str, tmp_path: Path) -> None:
    network, example, pruned = _pruned(name)
    pruned.plan.save(tmp_path / "plan.json")

    replayed = Plan.load(tmp_path / "plan.json").apply(network, example)

    assert type(replayed).__name__ == type(pruned.model).__name__
    for (key, got), want in zip(replayed.state_dict().items(), pruned.model.state_dict().values(), strict=True):
        assert torch.equal(got, want), key


@pytest.mark.parametrize("name", cases(name for name in NAMES if name != "parametrised"))  # torch saves only its state
@_unpickled
def test_pruned_network_is_pickled(name: str, tmp_path: Path) -> None:
    _, example, pruned = _pruned(name)
    model = pruned.model.eval()
    torch.save(model, tmp_path / "model.pt")
    loaded = torch.load(tmp_path / "model.pt", weights_only=False)
    with torch.no_grad():
        for got, want in zip(*(pytree.tree_leaves(m(*example)) for m in (loaded, model)), strict=True):
            assert torch.equal(got, want)


@pytest.mark.long
@pytest.mark.parametrize("name", ["tokens-and-positions", "fused-projection", "grouped-queries", "repeated-keys"])
def test_head_dimensions_are_pruned_instead_of_heads(name: str) -> None:
    network, example = make(name)
    pruned = prune(network, example, budget={"macs": 0.7}, options={"criterion": "random", "attention": "head_dim"})
    assert pruned.equivalence is not None
    assert pruned.equivalence.max_error < 1e-5
    heads = {group.name: len(group) for group in groups(network, example)}
    positions = {group.name: len(group) for group in groups(network, example, attention="head_dim")}
    assert heads != positions or name in ("fused-projection", "tokens-and-positions")  # as many heads as dimensions


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_costs_agree_with_torch(name: str) -> None:
    network, example, pruned = _pruned(name)
    if name not in _UNCOUNTED:
        for model, cost in ((network, pruned.before), (pruned.model, pruned.after)):
            assert cost.macs == _flops(model, example) / 2
    again = cost_of(units_of(capture(pruned.model, example)), pruned.model)
    assert (again.macs, again.params) == (pruned.after.macs, pruned.after.params)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_exports_to_onnx(name: str, tmp_path: Path) -> None:
    import onnxruntime

    _, example, pruned = _pruned(name)
    model = pruned.model.eval()

    from edgeprune.export.onnx_export import export

    exported = export(model, example, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(exported.path, providers=["CPUExecutionProvider"])
    feed = dict(zip(exported.input_names, (tensor.numpy() for tensor in example), strict=True))
    got = session.run(None, feed)
    with torch.no_grad():
        want = [leaf for leaf in pytree.tree_leaves(model(*example)) if isinstance(leaf, Tensor)]
    for a, b in zip(want, got, strict=True):
        torch.testing.assert_close(torch.from_numpy(b), a, rtol=1e-3, atol=1e-4)


def _floor(network: nn.Module, units: Units) -> float:
    """A share of the MACs that small networks with coarse units can reach."""
    removable = units.prunable.clone()
    for floor in units.floors:
        removable[floor[0]] = False
    return cost_of(units, network, removable).macs / cost_of(units, network).macs + 0.2


def _flops(model: nn.Module, example: tuple[Tensor, ...]) -> int:
    torch.backends.mha.set_fastpath_enabled(False)  # the fused encoder is one call that the counter does not know
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.eval()(*example)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    return counter.get_total_flops()


class _ZeroLast(nn.Module):
    """Adds one half of its channels to the other's squares, at a place written down; its last scale starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 3, padding=1)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x).relu()
        return self.scale * (y[:, :16].flatten(1).sum(1) + y[:, 16:].square().flatten(1).sum(1))


@pytest.mark.parametrize("verify", [True, False])
def test_hard_coded_size_is_found_behind_zero_outputs(verify: bool) -> None:
    torch.manual_seed(0)
    network, x = _ZeroLast(), torch.randn(2, 3, 8, 8)
    pruned = prune(network, (x,), budget={"macs": 0.5}, options={"criterion": "l1", "repair": (), "verify": verify})

    remaining = pruned.plan.kept_indices["conv.weight"][0]
    y = network.conv(x).relu()[:, remaining]
    split = int((remaining < 16).sum())
    assert split != 16, "the first half stays whole, so that the size written down is right by luck"
    with torch.no_grad():
        pruned.model.get_parameter("scale").fill_(1)
        want = y[:, :split].flatten(1).sum(1) + y[:, split:].square().flatten(1).sum(1)
        torch.testing.assert_close(pruned.model(x), want, rtol=1e-4, atol=1e-3)
