"""Forwards that draw random numbers: noise, pooling at random places, and dropout of every kind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgeprune import prune
from edgeprune.graph import capture, groups
from edgeprune.graph.random_draws import constant_draws
from tests.networks.convolutional import Head

_CHANNELS = 8
_ALWAYS_ON: dict[str, Callable[[Tensor], Tensor]] = {
    "dropout": lambda x: F.dropout(x, 0.3, training=True),
    "dropout2d": lambda x: F.dropout2d(x, 0.3, training=True),
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.3, training=True),
    "feature_alpha_dropout": lambda x: F.feature_alpha_dropout(x, 0.3, training=True),
    "native_dropout": lambda x: torch.native_dropout(x, 0.3, True)[0],
    "rrelu-training": lambda x: F.rrelu(x, training=True),
}


class Network(nn.Module):
    """Two convolutions with ``middle`` between them; ``reads`` makes the forward depend on the number of channels."""

    def __init__(self, middle: Callable[[Tensor], Tensor], *, reads: bool = False) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, _CHANNELS, 3), nn.Conv2d(_CHANNELS, 6, 1), Head(6)
        self.middle = middle
        self.reads = reads

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(self.first(x))
        return self.head(self.second(x / x.shape[1] if self.reads else x))


@pytest.mark.parametrize(
    "middle",
    [
        lambda x: x + torch.randn(x.shape),
        lambda x: x + torch.randn_like(x),
        lambda x: x * torch.rand(x.shape[1])[:, None, None],
        lambda x: F.fractional_max_pool2d(x, 2, output_size=3),
        lambda x: F.fractional_max_pool2d(x[0], 2, output_size=3)[None],
        lambda x: F.fractional_max_pool3d(x[:, :, None].expand(-1, -1, 6, -1, -1), 2, output_size=3).mean(2),
        lambda x: torch.bernoulli(x.sigmoid()),
        lambda x: x + x.clone().normal_(),
        lambda x: x + torch.normal(0.0, 1.0, x.shape),
        lambda x: x - torch.empty_like(x).exponential_().log(),
        lambda x: x * torch.empty_like(x).uniform_(1, 3),
        lambda x: x * x.clone().random_(5),
        lambda x: x * torch.randint(1, 5, x.shape),
        lambda x: torch.poisson(x.exp()),
        lambda x: torch.distributions.Normal(x, x.exp(), validate_args=False).rsample(),
        lambda x: x * torch.multinomial(torch.ones(x.shape[0], 5), 1)[:, :, None, None],
        nn.RReLU(),
        nn.RReLU(inplace=True),
        *_ALWAYS_ON.values(),
    ],
    ids=[
        *("randn", "randn_like", "rand", "pool2d", "pool2d-unbatched", "pool3d", "bernoulli", "normal_", "normal"),
        *("exponential_", "uniform_", "random_", "randint", "poisson", "distribution", "multinomial"),
        *("rrelu", "rrelu_", *_ALWAYS_ON),
    ],
)
def test_a_network_that_draws_is_pruned_and_passes_the_equivalence_check(middle: Callable[[Tensor], Tensor]) -> None:
    pruned = prune(
        Network(middle).eval(), (torch.randn(2, 3, 8, 8),), budget={"macs": 0.5}, options={"criterion": "random"}
    )
    assert type(pruned.model) is Network
    assert pruned.model.first.out_channels < _CHANNELS
    assert pruned.equivalence is not None
    assert pruned.equivalence.max_error < 1e-5


@pytest.mark.parametrize(
    "middle", [nn.RReLU(), nn.RReLU(inplace=True), nn.Dropout(0.5), nn.Dropout2d(0.5), nn.AlphaDropout(0.5)]
)
def test_a_pruned_network_equals_the_dense_one_in_training_mode(middle: nn.Module) -> None:
    """The dense network has zero weights for the removed channels; both draw as in the equivalence check."""
    network, example = Network(middle), (torch.randn(2, 3, 8, 8),)
    pruned = prune(network, example, budget={"macs": 0.5}, options={"criterion": "random"})
    for name, weight in network.named_parameters():
        remaining = pruned.plan.kept_indices.get(name, {})
        if 1 in remaining:
            read = torch.zeros(weight.shape[1], dtype=torch.bool).index_fill(0, remaining[1], True)
            weight.data[:, ~read] = 0
    with torch.no_grad(), constant_draws(capture(network, example)):
        torch.testing.assert_close(pruned.model.train()(*example), network.train()(*example))


@pytest.mark.parametrize("middle", [*_ALWAYS_ON.values()], ids=[*_ALWAYS_ON])
def test_random_operators_of_evaluation_remain_in_a_captured_program(middle: Callable[[Tensor], Tensor]) -> None:
    example = torch.randn(2, 3, 8, 8)
    model = prune(
        Network(middle, reads=True).eval(), (example,), budget={"macs": 0.5}, options={"criterion": "random"}
    ).model
    assert type(model).__name__ == "Captured"
    with torch.no_grad():
        assert not torch.equal(model(example), model(example))


class Blocks(nn.Module):
    """Random numbers in a block that has a graph of its own, in front of a layer that can be pruned."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, _CHANNELS, 1), Head(_CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        with torch.autocast("cpu"):
            x = x * torch.randn_like(x)
        return self.head(self.second(x.float()).relu())


def test_draws_in_a_block_pass_the_equivalence_check() -> None:
    pruned = prune(Blocks().eval(), (torch.randn(2, 3, 8, 8),), budget={"macs": 0.8}, options={"criterion": "random"})
    assert pruned.equivalence is not None
    assert pruned.equivalence.max_error < 1e-5


def test_a_random_order_of_channels_freezes_them() -> None:
    network = Network(lambda x: x[:, torch.randperm(_CHANNELS)])
    frozen = {group.name: group.frozen for group in groups(network, (torch.randn(2, 3, 8, 8),))}
    assert frozen["first"] == "aten.index with indices that depend on the data"


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.RReLU])
def test_random_modules_of_a_captured_program_follow_train(kind: type[nn.Module], in_place: bool) -> None:
    network = Network(kind(inplace=in_place), reads=True).eval()
    example = torch.randn(2, 3, 8, 8)
    model = prune(network, (example,), budget={"macs": 0.5}, options={"criterion": "random"}).model
    assert type(model).__name__ == "Captured"
    results = [module for module in model.modules() if isinstance(module, (nn.modules.dropout._DropoutNd, nn.RReLU))]
    assert [type(module) for module in results] == [kind]
    with torch.no_grad():
        assert torch.equal(model.eval()(example), model(example))
        assert not torch.equal(model.train()(example), model(example))
