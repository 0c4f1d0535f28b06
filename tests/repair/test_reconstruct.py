"""Repair makes up for what is gone: exactly where it can, and the function it fits survives training mode."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from edgeprune.graph import Units, capture, units_of
from edgeprune.graph.rewrite import RewrittenModel, rewrite
from edgeprune.repair import constant_units, put, reconstruct
from edgeprune.repair.reconstruct import Method
from edgeprune.statistics import Samples
from tests.example_count import example_count
from tests.networks.collection import cases, shared

_METHODS: tuple[Method, ...] = ("bias", "least_squares")


class _Net(nn.Module):
    """Eight units between two convolutions; the second does not pad, so that constants have no border."""

    def __init__(self, *, padding: int = 0, bias: bool = False, norm: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, bias=bias)
        self.scale = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 6, 3, padding=padding, bias=bias)
        self.after = nn.BatchNorm2d(6) if norm else nn.Identity()
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.scale(self.first(x)))
        return self.head(torch.relu(self.after(self.second(x))).mean((2, 3)))


def _net(seed: int = 0, **options: bool | int) -> tuple[_Net, Units, Samples]:
    torch.manual_seed(seed)
    net = _Net(**options).eval()  # type: ignore[arg-type]
    for norm in (net.scale, net.after):
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.2, 0.8)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
    units = units_of(capture(net, (torch.randn(1, 3, 9, 9),)))
    samples = Samples([(torch.randn(16, 3, 9, 9), torch.zeros(16)) for _ in range(4)])
    return net, units, samples


def _pruned(net: nn.Module, units: Units, removed: Tensor, samples: Samples, method: Method) -> RewrittenModel:
    tensors = reconstruct(units, removed, samples, method)
    rewritten = rewrite(net, units, removed)
    put(tensors, rewritten)
    return rewritten


def _first(units: Units, *which: int) -> Tensor:
    """Mask of some units of the first convolution."""
    group = next(group for group in units.groups if group.name == "first")
    removed = torch.zeros(len(units), dtype=torch.bool)
    removed[[group.start + unit for unit in which]] = True
    return removed


@pytest.mark.long
@example_count(12)
@given(
    unit=st.integers(0, 7),
    value=st.floats(-1, 2),
    bias=st.booleans(),
    norm=st.booleans(),
    method=st.sampled_from(_METHODS),
)
def test_removed_constant_unit_changes_no_output(
    unit: int, value: float, bias: bool, norm: bool, method: Method
) -> None:
    net, units, samples = _net(bias=bias or not norm, norm=norm)
    with torch.no_grad():
        net.scale.weight[unit], net.scale.bias[unit] = 0.0, value
    removed = _first(units, unit)
    assert torch.equal(constant_units(units, samples), removed)
    pruned = _pruned(net, units, removed, samples, method).model.eval()
    x = torch.randn(8, 3, 9, 9)
    torch.testing.assert_close(pruned(x), net(x), atol=2e-5, rtol=1e-4)


def test_constant_unit_before_padding_is_repaired_only_if_zero() -> None:
    net, units, samples = _net(padding=1)
    with torch.no_grad():
        net.scale.weight[2:4] = 0.0
        net.scale.bias[2], net.scale.bias[3] = 0.7, -0.7  # the second is dead behind the rectifier
    assert torch.equal(constant_units(units, samples), _first(units, 3))


def test_least_squares_reconstructs_a_redundant_unit() -> None:
    net, units, samples = _net(padding=1)
    with torch.no_grad():
        for tensor in (
            net.first.weight,
            net.scale.weight,
            net.scale.bias,
            net.scale.running_mean,
            net.scale.running_var,
        ):
            tensor[5] = tensor[1]
    removed = _first(units, 5)
    x = torch.randn(8, 3, 9, 9)
    fitted = _pruned(net, units, removed, samples, "least_squares").model.eval()
    shifted = _pruned(net, units, removed, samples, "bias").model.eval()
    assert (fitted(x) - net(x)).abs().max() < 0.02 * (shifted(x) - net(x)).abs().max()


@pytest.mark.parametrize("method", _METHODS)
def test_training_begins_with_the_function_that_was_fitted(method: Method) -> None:
    """In training mode the statistics are those of the batch: they are the new running ones where the batch is all."""
    net, units, samples = _net()
    rewritten = _pruned(net, units, _first(units, 0, 2, 3), samples, method)
    x = torch.cat([inputs for inputs, _ in samples.source])
    evaluated = rewritten.model.eval()(x)
    rewritten.model.after.train()
    torch.testing.assert_close(rewritten.model(x), evaluated, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("method", _METHODS)
@pytest.mark.parametrize("name", cases())
def test_every_network_is_repaired(name: str, method: Method) -> None:
    """Whatever it is made of, nothing breaks, and the dense network stays as it is."""
    model, example, units = shared(name)
    torch.manual_seed(0)
    removed = units.prunable & (torch.rand(len(units)) < 0.3)
    for floor in units.floors:
        removed[floor[0]] = False
    inputs = tuple(example) if isinstance(example, (tuple, list)) else dict(example)
    samples = Samples([(inputs, torch.zeros(64))])
    before = copy.deepcopy(model.state_dict())
    rewritten = _pruned(model, units, removed, samples, method)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert all(bool(tensor.isfinite().all()) for tensor in rewritten.model.state_dict().values())


def test_repair_without_removal_changes_nothing() -> None:
    _, units, samples = _net()
    assert reconstruct(units, torch.zeros(len(units), dtype=torch.bool), samples) == {}
