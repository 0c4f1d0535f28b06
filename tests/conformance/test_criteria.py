"""Every criterion gives a score that selection can rank."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from edgeprune.criteria import Network, create, registered
from edgeprune.graph import capture, units_of
from edgeprune.statistics import Samples
from tests.networks.collection import make

_NETWORKS = ("zero-padded-residual", "concat-into-grouped", "tokens-and-positions", "gru", "tied-embedding")


_CASES = [(criterion, name) for criterion in registered() for name in _NETWORKS]


def _network(name: str, *, seed: int = 0) -> tuple[nn.Module, Network]:
    model, example = make(name)
    inputs = example if isinstance(example, tuple) else dict(example)
    samples = Samples([(_varied(inputs, index), torch.zeros(1)) for index in range(4)], loss=_spread)
    return model, Network(model, units_of(capture(model, example)), seed, samples)


def _varied(inputs: Any, index: int) -> Any:
    """The example, other numbers in every batch; indices stay."""
    rng = torch.Generator().manual_seed(index)
    return tree_map(lambda x: torch.randn(x.shape, generator=rng) if x.is_floating_point() else x, inputs)


def _spread(outputs: Any, _labels: Tensor) -> Tensor:
    """A loss that any network has: the mean square of its outputs."""
    return torch.stack([leaf.square().mean() for leaf in tree_leaves(outputs) if leaf.is_floating_point()]).sum()


@pytest.mark.parametrize(("criterion", "name"), _CASES)
def test_scores_every_unit(criterion: str, name: str) -> None:
    model, network = _network(name)
    before = copy.deepcopy(model.state_dict())
    random = torch.get_rng_state()

    scores = create(criterion, data=True).score(network)

    assert scores.shape == (len(network.units),)
    assert scores.dtype == torch.float64
    assert bool(scores.isfinite().all())
    assert bool((scores >= 0).all())
    assert len(torch.unique(scores[network.units.prunable])) > 1, "no unit is preferred to another"
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items()), "the model changed"
    assert not any(parameter.grad is not None for parameter in model.parameters()), "gradients were left behind"
    assert torch.equal(torch.get_rng_state(), random), "the global generator was used"


@pytest.mark.parametrize("criterion", registered())
def test_same_seed_same_scores(criterion: str) -> None:
    def score(seed: int) -> Tensor:
        return create(criterion, data=True).score(_network("zero-padded-residual", seed=seed)[1])

    first = score(3)
    torch.rand(7)  # what else was drawn makes no difference
    assert torch.equal(first, score(3))


@pytest.mark.parametrize("criterion", registered())
def test_weights_that_are_all_zero_have_scores(criterion: str) -> None:
    model, network = _network("zero-padded-residual")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    scores = create(criterion, data=True).score(network)
    assert bool(scores.isfinite().all())
    assert bool((scores >= 0).all())
