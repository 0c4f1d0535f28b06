"""Forwards that compute with a size that pruning changes: the result is the dense network with removed units masked."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import edgeprune as ep
from edgeprune.graph import capture, shrink, units_of
from edgeprune.pruning import PruneResult

_CHANNELS = 8
Forward = Callable[["Network", Tensor], Tensor]


class Network(nn.Module):
    """A convolution, something that reads a size of what it gives, and a layer that reads it."""

    def __init__(self, middle: Forward, *, linear: bool = False, inputs: int = _CHANNELS) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, _CHANNELS, 3, padding=1)
        self.b: nn.Module = nn.Linear(inputs, 5) if linear else nn.Conv2d(inputs, 5, 3)
        self.dim = _CHANNELS
        self.scale = math.sqrt(_CHANNELS)
        self.middle = middle

    def forward(self, x: Tensor) -> Tensor:
        return self.middle(self, self.a(x).relu())


def _view(net: Network, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    y = net.b(x)
    return y.view(n, y.shape[1], (h - 2) * (w - 2) * c // c)


def _count_in_view(net: Network, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return net.b(x.view(n, c, h * w).view(n, c, h, w)).flatten(1)


_MIDDLES: dict[str, Forward] = {
    "view": _view,
    "view-of-count": _count_in_view,
    "shape": lambda net, x: net.b(x * x.shape[1] ** -0.5),
    "size": lambda net, x: net.b(x / x.size(1)),
    "len": lambda net, x: net.b(x * len(x[0])),
    "numel": lambda net, x: net.b(x / (x.numel() / len(x))),
    "attribute": lambda net, x: net.b(x * math.sqrt(net.dim)),
    "stored-root": lambda net, x: net.b(x / net.scale),
    "layer-attribute": lambda net, x: net.b(x * net.a.out_channels**-0.5),
    "weight-shape": lambda net, x: net.b(x * net.a.weight.shape[0] ** -0.5),
    "ones": lambda net, x: net.b(x * torch.ones(x.shape[1])[:, None, None] / x.shape[1]),
    "output-scale": lambda net, x: net.b(x) * math.log(x.shape[1]),
    "added": lambda net, x: net.b(x) + 0.01 * x.shape[1],
    "sum": lambda net, x: net.b(x / (1 + x.sum(1, keepdim=True) / x.shape[1])),
    "last-dimension": lambda net, x: net.b(x.permute(0, 2, 3, 1).mul(x.shape[1] ** -0.5).permute(0, 3, 1, 2)),
    "branch": lambda net, x: net.b(x if x.shape[1] == _CHANNELS else -x),
    "mask": lambda net, x: net.b(x) > 0.05 * x.shape[1],
    "masked-logits": lambda net, x: (net.b(x) * x.shape[1]).masked_fill(net.b(x) < 0, -math.inf),
}


@pytest.mark.long
@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", _MIDDLES)
def test_size_in_the_forward_has_its_dense_value(name: str, verify: bool) -> None:
    torch.manual_seed(0)
    network = Network(_MIDDLES[name]).eval()
    x = torch.randn(2, 3, 8, 8)
    pruned = ep.prune(network, (x,), budget={"params": 0.6}, options={"verify": verify, "repair": ()})
    _check(network, pruned, torch.randn(4, 3, 8, 8))


def _check(network: Network, pruned: PruneResult, x: Tensor) -> None:
    """Compare with the dense network whose removed filters give zero."""
    remaining = pruned.model.state_dict()["a.weight"]
    assert len(remaining) < _CHANNELS
    alive = [bool((one == remaining).flatten(1).all(1).any()) for one in network.a.weight]
    assert sum(alive) == len(remaining)
    mask = torch.tensor(alive, dtype=torch.float)[:, None, None]
    with torch.no_grad():
        hook = network.a.register_forward_hook(lambda _module, _inputs, output: output * mask)
        expected = network(x)
        hook.remove()
        got = pruned.model(x)
    assert got.dtype == expected.dtype
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


class Attention(nn.Module):
    """Heads that scale by a size they read."""

    def __init__(self, scale: Callable[[Tensor, Tensor], float]) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        q, k, v = self.qkv(x).view(n, length, 3, 4, 4).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * self.scale(q, x)).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(n, length, -1))


@pytest.mark.parametrize("attention", ["heads", "head_dim"])
@pytest.mark.parametrize(
    "scale",
    [
        lambda q, x: q.shape[-1] ** -0.5,
        lambda q, x: (q.shape[1] * q.shape[-1]) ** -0.5,
        lambda q, x: math.sqrt(q.size(-1)) / q.size(1),
    ],
)
def test_attention_scale_is_that_of_the_dense_network(attention: str, scale: Callable[[Tensor, Tensor], float]) -> None:
    torch.manual_seed(0)
    network = Attention(scale).eval()
    for parameter in network.parameters():
        parameter.data *= 3
    x = torch.randn(2, 6, 16)
    pruned = ep.prune(
        network, (x,), budget={"params": 0.6}, options={"attention": attention, "verify": False, "repair": ()}
    )
    small = pruned.model.state_dict()["qkv.weight"]
    assert len(small) < 48
    alive = torch.tensor([bool((one == small).all(1).any()) for one in network.qkv.weight])
    x = torch.randn(3, 6, 16)
    with torch.no_grad():
        # What goes of queries, keys and values is zero wherever it is consumed.
        hook = network.qkv.register_forward_hook(lambda _module, _inputs, output: output * alive)
        expected = network(x)
        hook.remove()
        torch.testing.assert_close(pruned.model(x), expected, rtol=1e-4, atol=1e-5)


def _channel_attention(net: Network, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    q = x.view(n, c, h * w)
    weights = torch.softmax(q @ q.transpose(1, 2) * c**-0.5, -1)
    return net.b((weights @ q).view(n, c, h, w))


def _gram(net: Network, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    features = x.view(n, c, h * w)
    gram = features @ features.transpose(1, 2) / (c * h * w)
    return net.b(x * gram.mean(2)[:, :, None, None])


def _loop(net: Network, x: Tensor) -> Tensor:
    return net.b(torch.stack([x[:, channel] * (channel + 1) for channel in range(x.shape[1])], 1))


_MIXING: dict[str, Forward] = {
    "loop-bound": _loop,
    "slice-end": lambda net, x: net.b(torch.cat([x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :] * 2], 1)),
    "arange": lambda net, x: net.b(x * torch.arange(x.shape[1])[:, None, None]),
    "layer-norm": lambda net, x: net.b(nn.functional.layer_norm(x, x.shape[1:])),
    "layer-norm-over-channels": lambda net, x: net.b(
        nn.functional.layer_norm(x.movedim(1, -1), (x.shape[1],)).movedim(-1, 1)
    ),
    "channel-attention": _channel_attention,
    "gram": _gram,
    "divisor-in-view": lambda net, x: net.b(x.view(len(x), 2, x.shape[1] // 2, *x.shape[2:]).flatten(1, 2)),
}


_FROZEN = ("loop-bound", "channel-attention")
"""Forwards that need every channel: one call for each, and a softmax over channels."""


@pytest.mark.parametrize("name", _MIXING)
def test_network_whose_channels_mix_by_a_size_is_equivalent(name: str) -> None:
    """The equivalence check runs calls that mix channels on the remaining channels."""
    torch.manual_seed(0)
    network = Network(_MIXING[name]).eval()
    x = torch.randn(2, 3, 8, 8)
    units = units_of(capture(network, (x,)))
    removed = torch.zeros(len(units), dtype=torch.bool)
    prunable = units.prunable.nonzero().flatten()
    removed[prunable[::3]] = True
    small, equivalence = shrink(network, units, removed)
    assert equivalence is not None
    assert equivalence.max_error < 1e-5
    assert bool(removed.any()) == (name not in _FROZEN)
    assert small.model(torch.randn(3, 3, 8, 8)).shape == network(torch.randn(3, 3, 8, 8)).shape


@pytest.mark.parametrize("name", _FROZEN)
def test_layer_whose_channels_cannot_be_removed_has_a_reason(name: str) -> None:
    groups = ep.groups(Network(_MIXING[name]).eval(), (torch.randn(2, 3, 8, 8),))
    assert groups[0].name == "a"
    assert groups[0].frozen is not None
