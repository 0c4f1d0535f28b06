"""Costs by layer and by call add up to those of the whole network."""

from __future__ import annotations

import pytest
import torch

from edgeprune.cost import cost_of
from edgeprune.cost.cost_breakdown import layer_costs, live_bytes
from tests.networks.collection import cases, shared


@pytest.mark.parametrize("name", cases())
def test_layers_and_calls_add_up_to_the_costs_of_the_network(name: str) -> None:
    network, _, units = shared(name)
    removed = torch.zeros(len(units), dtype=torch.bool)
    for group in units.groups:
        if group.frozen is None:
            removed[group.start : group.start + len(group) // 2] = True
    dense, remaining = cost_of(units, network), cost_of(units, network, removed)
    layers, calls = layer_costs(units, removed), live_bytes(units, removed)
    assert sum(layer.macs[0] for layer in layers) == dense.macs
    assert sum(layer.macs[1] for layer in layers) == remaining.macs
    assert max(call.bytes[0] for call in calls) == dense.peak_activation_bytes
    assert max(call.bytes[1] for call in calls) == remaining.peak_activation_bytes
    state = network.state_dict()
    for layer in layers:
        weight = state.get(f"{layer.name}.weight")
        if layer.kind == "linear" and weight is not None:
            assert layer.channels is not None
            assert layer.channels[0] == len(weight)
            assert layer.channels[1] <= layer.channels[0]
