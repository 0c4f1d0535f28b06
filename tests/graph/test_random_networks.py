"""Networks that nobody would write: random layers, pruned at random levels, compared with the masked dense network."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from edgeprune.cost import cost_of
from edgeprune.graph import Units, capture, shrink, units_of
from edgeprune.graph.equivalence import reference
from tests.graph.random_networks import make

_EXAMPLES = 200 if settings.default.max_examples >= 1000 else 20


@pytest.mark.long
@settings(max_examples=_EXAMPLES, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), layers=st.integers(1, 30), level=st.floats(0.05, 0.9))
def test_random_network_equals_the_masked_dense_network(seed: int, layers: int, level: float) -> None:
    network, inputs = make(seed, layers)
    units = units_of(capture(network, inputs))
    removed = _random_units(units, level)
    assume(all(bool(output.isfinite().all()) for output in reference(units, removed).outputs[0]))
    small, equivalence = shrink(network, units, removed)
    assert equivalence is not None
    assert equivalence.max_error < 1e-4
    cost = cost_of(units, network, removed)
    assert cost.params == sum(parameter.numel() for parameter in small.model.parameters())
    again = cost_of(units_of(capture(small.model, inputs)), small.model)
    assert (again.macs, again.params) == (cost.macs, cost.params)
    small.model.train()
    small.model(*inputs).square().mean().backward()


def _random_units(units: Units, level: float) -> torch.Tensor:
    """Return the mask of about ``level`` of the prunable units; one stays of each set of which one must."""
    order = units.prunable.nonzero().flatten()
    order = order[torch.randperm(len(order))]
    removed = torch.zeros(len(units), dtype=torch.bool)
    for unit in order[: round(level * len(order))]:
        removed[unit] = True
        if any(bool(removed[floor].all()) for floor in units.floors):
            removed[unit] = False
    return removed
