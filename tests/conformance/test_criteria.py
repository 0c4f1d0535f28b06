"""Every criterion gives a score that selection can rank."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves, tree_map

from edgeprune.criteria import Network, create, documentation, options_of, registered
from edgeprune.errors import InputError
from edgeprune.graph import Units, capture, units_of
from edgeprune.statistics import Samples
from tests.example_count import example_count
from tests.networks.collection import make, shared

_NETWORKS = ("zero-padded-residual", "concat-into-grouped", "tokens-and-positions", "gru", "tied-embedding")
_CASES = [(criterion, name) for criterion in registered() for name in _NETWORKS]
_CHANNELS = 6


def _network(name: str, *, seed: int = 0) -> Network:
    model, inputs, units = shared(name)
    return _with_samples(model, units, inputs, seed)


def _with_samples(model: nn.Module, units: Units, inputs: tuple[Any, ...], seed: int = 0) -> Network:
    labels = torch.arange(len(inputs[0])) % 2
    samples = Samples([(_varied(inputs, index), labels) for index in range(4)], loss=_spread)
    return Network(model, units, seed, samples)


def _varied(inputs: Any, index: int) -> Any:
    """The example, other numbers in every batch."""
    rng = torch.Generator().manual_seed(index)

    def vary(x: Tensor) -> Tensor:
        if x.is_floating_point():
            return torch.randn(x.shape, generator=rng)
        return x.flatten()[torch.randperm(x.numel(), generator=rng)].reshape(x.shape)

    return tree_map(vary, inputs)


def _spread(outputs: Any, _labels: Tensor) -> Tensor:
    """A loss that any network has: the mean square of its outputs."""
    return torch.stack([leaf.square().mean() for leaf in tree_leaves(outputs) if leaf.is_floating_point()]).sum()


@pytest.mark.parametrize(("criterion", "name"), _CASES)
def test_scores_every_unit(criterion: str, name: str) -> None:
    network = _network(name)
    model = network.model
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
        return create(criterion, data=True).score(_network("zero-padded-residual", seed=seed))

    first = score(3)
    torch.rand(7)  # what else was drawn makes no difference
    assert torch.equal(first, score(3))


@cache
def _zero() -> tuple[nn.Module, Units, tuple[Any, ...]]:
    model, example = make("zero-padded-residual")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model, units_of(capture(model, example)), example


@pytest.mark.parametrize("criterion", registered())
def test_all_zero_weights_have_finite_scores(criterion: str) -> None:
    scores = create(criterion, data=True).score(_with_samples(*_zero()))
    assert bool(scores.isfinite().all())
    assert bool((scores >= 0).all())


class Plain(nn.Module):
    """Two convolutions with rectified outputs, the first of them to be tampered with, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, _CHANNELS, 3, padding=1)
        self.second = nn.Conv2d(_CHANNELS, 5, 3, padding=1)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(functional.relu(self.first(x))).relu()
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def _plain(seed: int = 0) -> Plain:
    torch.manual_seed(seed)
    return Plain().eval()


def _with_constant(unit: int, value: float) -> Plain:
    """A unit of the first convolution gives ``value`` whatever it reads."""
    model = _plain()
    with torch.no_grad():
        model.first.weight[unit] = 0
        model.first.bias[unit] = value  # type: ignore[index]
    return model


@cache
def _captured_plain() -> tuple[Plain, Units]:
    model = _plain()
    units = units_of(capture(model, (torch.randn(2, 3, 6, 6),)))
    assert units.groups[0].name == "first"
    return model, units


def _scores(criterion: str, source: Plain) -> Tensor:
    """Scores of the units that the first convolution makes, with the weights of ``source``."""
    images = torch.randn(24, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(24) % 3
    model, units = _captured_plain()
    model.load_state_dict(source.state_dict())
    samples = Samples([(images[:12], labels[:12]), (images[12:], labels[12:])])
    return create(criterion, data=True).score(Network(model, units, 0, samples))[:_CHANNELS]


@pytest.mark.parametrize("criterion", [name for name in registered() if name != "random"])
@given(order=st.permutations(range(_CHANNELS)), seed=st.integers(0, 99))
@example_count(8)
def test_scores_do_not_depend_on_the_order_of_channels(criterion: str, order: list[int], seed: int) -> None:
    model = _plain(seed)
    shuffled = copy.deepcopy(model)
    with torch.no_grad():
        shuffled.first.weight.copy_(model.first.weight[order])
        shuffled.first.bias.copy_(model.first.bias[order])  # type: ignore[union-attr]
        shuffled.second.weight.copy_(model.second.weight[:, order])
    torch.testing.assert_close(_scores(criterion, shuffled), _scores(criterion, model)[order], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("criterion", ["cosine", "fpgm", "correlation", "activation_similarity"])
@pytest.mark.parametrize("seed", range(3))
def test_duplicate_filters_score_lowest(criterion: str, seed: int) -> None:
    model = _plain(seed)
    with torch.no_grad():
        model.first.weight[4] = model.first.weight[1]
        model.first.bias[4] = model.first.bias[1]  # type: ignore[index]
    scores = _scores(criterion, model)
    original = _scores(criterion, _plain(seed))
    assert float(scores[[1, 4]].min() / scores.mean()) < float(original[[1, 4]].min() / original.mean())
    if criterion != "fpgm":  # which looks at all distances at once, and at both twins alike
        assert int(scores.argmin()) in (1, 4)
        assert scores[[1, 4]].max() > 100 * scores[[1, 4]].min(), "one of the two must stay"


@pytest.mark.parametrize("criterion", ["correlation", "activation_similarity"])
def test_weaker_of_two_correlated_units_scores_lowest(criterion: str) -> None:
    model = _plain()
    with torch.no_grad():
        model.first.weight[0] = 0.5 * model.first.weight[3]
        model.first.bias[0] = 0.5 * model.first.bias[3]  # type: ignore[index]
    scores = _scores(criterion, model)
    assert int(scores.argmin()) == 0
    assert scores[3] > 100 * scores[0]


def test_anticorrelated_units_score_higher_than_correlated_ones() -> None:
    model = _plain()
    with torch.no_grad():
        model.first.bias[:2] = 20  # no rectifier cuts what is this far up
        model.first.weight[0] = -0.9 * model.first.weight[1]
    opposed = _scores("correlation", model)
    with torch.no_grad():
        model.first.weight[0] *= -1
    aligned = _scores("correlation", model)
    assert opposed[0] > 100 * aligned[0]


_DEAD_SCORES_ZERO = (
    "l1", "l2", "l0", "bn_scale", "lamp", "cosine", "weight_entropy", "mean_activation", "apoz", "activation_std",
    "activation_similarity", "correlation", "activation_entropy", "lda",
)  # fmt: skip


@pytest.mark.parametrize("criterion", [*_DEAD_SCORES_ZERO, "fpgm"])
def test_a_dead_unit_scores_lowest(criterion: str) -> None:
    scores = _scores(criterion, _with_constant(2, 0))
    assert int(scores.argmin()) == 2
    if criterion in _DEAD_SCORES_ZERO:
        assert scores[2] == 0


@pytest.mark.parametrize("criterion", ["activation_std", "correlation", "activation_entropy", "lda"])
def test_a_constant_unit_scores_zero(criterion: str) -> None:
    scores = _scores(criterion, _with_constant(5, 123.4))
    assert scores[5] == 0
    assert bool((scores[:5] > 0).all())


@pytest.mark.parametrize("criterion", [name for name, kind in registered().items() if kind.needs != "weights"])
def test_criterion_without_its_data_is_an_error(criterion: str) -> None:
    with pytest.raises(InputError, match=rf"'{criterion}' .*data.*l2"):
        create(criterion)


@pytest.mark.parametrize("criterion", registered())
def test_is_documented(criterion: str) -> None:
    text = documentation(registered()[criterion])
    options = options_of(registered()[criterion])
    assert text.partition("\n")[0].strip()
    assert all(f"``{name}``" in text for name in options), "an option is not explained"
    assert create(criterion, options, data=True), "a default is not allowed"
