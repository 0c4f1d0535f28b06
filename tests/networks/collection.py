"""All small networks by name, with an example input and whether zeros are the reference of their equivalence check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgeprune.graph import Program, Units, capture, units_of
from tests.networks import convolutional, sequential

_IMAGE = (2, 3, 8, 8)
_SEQUENCE = (2, 5, 6)


def _tokens() -> Tensor:
    return torch.randint(0, 11, (2, 7))


def _normal(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(*shape)


_NETWORKS: dict[str, tuple[type[nn.Module], Callable[[], Tensor]]] = {
    "concat-into-grouped": (convolutional.ConcatIntoGrouped, _normal(*_IMAGE)),
    "channel-shuffle": (convolutional.ChannelShuffle, _normal(*_IMAGE)),
    "split-and-shuffle": (convolutional.SplitAndShuffle, _normal(*_IMAGE)),
    "sub-pixel": (convolutional.SubPixel, _normal(*_IMAGE)),
    "u-net": (convolutional.UNet, _normal(*_IMAGE)),
    "grouped-transposed": (convolutional.GroupedTransposed, _normal(*_IMAGE)),
    "flatten-into-linear": (convolutional.FlattenIntoLinear, _normal(*_IMAGE)),
    "hard-coded-sizes": (convolutional.HardCodedSizes, _normal(*_IMAGE)),
    "zero-padded-residual": (convolutional.ZeroPaddedResidual, _normal(*_IMAGE)),
    "shared-convolution": (convolutional.SharedConvolution, _normal(*_IMAGE)),
    "cat-of-itself": (convolutional.CatOfItself, _normal(*_IMAGE)),
    "squeeze-and-excite": (convolutional.SqueezeAndExcite, _normal(*_IMAGE)),
    "depthwise-separable": (convolutional.DepthwiseSeparable, _normal(2, 10, 40)),
    "sliced-containers": (convolutional.SlicedContainers, _normal(*_IMAGE)),
    "conv-lstm": (convolutional.ConvLstm, _normal(*_IMAGE)),
    "in-place-slices": (convolutional.InPlaceSlices, _normal(*_IMAGE)),
    "broadcast": (convolutional.Broadcast, _normal(*_IMAGE)),
    "normalisations": (convolutional.Normalisations, _normal(*_IMAGE)),
    "parametrised": (convolutional.Parametrised, _normal(*_IMAGE)),
    "resampled": (convolutional.Resampled, _normal(*_IMAGE)),
    "auxiliary-head": (convolutional.AuxiliaryHead, _normal(*_IMAGE)),
    "tokens-and-positions": (sequential.TokensAndPositions, _normal(*_IMAGE)),
    "fused-projection": (sequential.FusedProjection, _normal(*_SEQUENCE)),
    "grouped-queries": (sequential.GroupedQueries, _normal(*_SEQUENCE)),
    "repeated-keys": (sequential.RepeatedKeys, _normal(*_SEQUENCE)),
    "lstm": (sequential.Lstm, _normal(*_SEQUENCE)),
    "gru": (sequential.Gru, _tokens),
    "tied-embedding": (sequential.TiedEmbedding, _tokens),
}
NAMES = tuple(_NETWORKS)
_FAST = (
    "concat-into-grouped", "channel-shuffle", "u-net", "zero-padded-residual", "shared-convolution",
    "squeeze-and-excite", "depthwise-separable", "fused-projection", "repeated-keys", "lstm", "tied-embedding",
)  # fmt: skip
"""Networks that differ most. Tests of all networks are long for the others."""


def cases(names: Iterable[str] = NAMES) -> list[Any]:
    """Parameters of a test of each network, with the marker ``long`` for those that only add to the others."""
    return [pytest.param(name, marks=[] if name in _FAST else [pytest.mark.long]) for name in names]


def make(name: str, seed: int = 0) -> tuple[nn.Module, tuple[Any, ...]]:
    """A network in evaluation mode, no two of whose weights are alike, and an example input."""
    torch.manual_seed(seed)
    factory, example = _NETWORKS[name]
    network = factory().eval()
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            tensor.data += 0.1 * torch.rand_like(tensor)
    return network, (example(),)


@cache
def _captured(name: str) -> tuple[nn.Module, tuple[Any, ...], Program]:
    network, example = make(name)
    return network, example, capture(network, example)


@cache
def shared(name: str, *, attention: str = "heads") -> tuple[nn.Module, tuple[Any, ...], Units]:
    """A network that is captured once for all tests, its example input and its units: no test may change them."""
    network, example, program = _captured(name)
    return network, example, units_of(program, attention=attention)
