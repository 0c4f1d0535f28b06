"""What a unit saves, against taking it away and counting again."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgeprune.cost import COSTS, CostModel, cost_of
from edgeprune.graph import capture, units_of
from tests.networks.collection import make


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("name", ["concat-into-grouped", "zero-padded-residual", "fused-projection", "lstm"])
def test_savings_and_gains_are_differences_of_totals(name: str, cost: str) -> None:
    network, example = make(name)
    units = units_of(capture(network, example))
    model = CostModel.of(cost, units, network)
    gone = torch.zeros(len(units), dtype=torch.bool)
    gone[:: max(1, len(units) // 5)] = True
    model.remove(gone)
    before, savings, gains = model.total(), model.savings(), model.gains()
    for unit in range(len(units)):
        one = torch.zeros(len(units), dtype=torch.bool)
        one[unit] = True
        if gone[unit]:
            model.restore(one)
            assert model.total() - before == pytest.approx(float(gains[unit]))
            model.remove(one)
        else:
            model.remove(one)
            assert before - model.total() == pytest.approx(float(savings[unit]))
            model.restore(one)
    assert model.total() == pytest.approx(before)


def test_params_are_those_of_the_network() -> None:
    network, example = make("squeeze-and-excite")
    assert cost_of(units_of(capture(network, example)), network).params == sum(p.numel() for p in network.parameters())


def test_peak_activation_bytes_of_a_chain() -> None:
    """Input (2, 3, 8, 8) -> 4 channels -> relu in place -> 16 channels: the two last tensors are alive at once."""
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 16, 1)).eval()
    units = units_of(capture(network, (torch.randn(2, 3, 8, 8),)))
    assert cost_of(units, network).peak_activation_bytes == 2 * 8 * 8 * (4 + 16) * 4
    half = torch.zeros(len(units), dtype=torch.bool)
    half[:2] = True
    assert cost_of(units, network, half).peak_activation_bytes == 2 * 8 * 8 * (2 + 16) * 4
