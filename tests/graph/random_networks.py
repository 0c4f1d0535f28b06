"""Random networks of up to 30 layers: operators of the conformance examples, shortcuts, gates and concatenations."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.conformance.examples import Build, Draw, examples
from tests.conformance.examples.base import Between

T = TypeVar("T")
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_JOINS = ("add", "cat", "gate", "attend")
_MOST_CHANNELS = 24
_WITHOUT_GRADIENT = {"aten.randint_like"}
"""Operators that have no gradient in a captured program, unlike the function of torch with the same name."""


class RandomDraw(Draw):
    """Sizes that a seed determines."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def size(self, least: int, most: int) -> int:
        return self.random.randint(least, most)

    def one_of(self, *values: T) -> T:
        return self.random.choice(values)

    def order(self, length: int) -> Tensor:
        return torch.tensor(self.random.sample(range(length), length))


class Layer(nn.Module):
    """A new value from earlier ones: ``op`` of ``enter``, which adapts the first source to the channels of ``op``.

    Attributes:
        positions: Sizes that the source is resampled to before ``enter``; None leaves its positions as they are.
        last: Whether channels are the last dimension of the source of ``op``.
    """

    def __init__(
        self,
        enter: nn.Module,
        op: Callable[..., Tensor],
        sources: Sequence[int],
        positions: Sequence[int] | None = None,
        *,
        last: bool = False,
    ) -> None:
        super().__init__()
        self.enter, self.op = enter, op
        self.sources, self.positions, self.last = tuple(sources), positions, last

    def forward(self, values: Sequence[Tensor]) -> Tensor:
        x, *others = (values[source] for source in self.sources)
        if self.positions is not None:
            x = resample(x, self.positions)
        if self.last:
            x = x.movedim(1, -1) if self.positions else x.flatten(1)
        return self.op(self.enter(x), *others)


class RandomNetwork(nn.Module):
    """Layers that each read earlier values, and a linear layer that reads all values nobody else reads."""

    def __init__(self, layers: Sequence[Layer], head: nn.Module, unread: Sequence[int]) -> None:
        super().__init__()
        self.layers, self.head, self.unread = nn.ModuleList(layers), head, tuple(unread)

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for layer in self.layers:
            values.append(layer(values))
        return self.head(torch.cat([_pooled(values[index]) for index in self.unread], 1))


def resample(x: Tensor, positions: Sequence[int]) -> Tensor:
    """Return ``x``, (batch, channels, *any positions), with the given positions."""
    if tuple(x.shape[2:]) == tuple(positions):
        return x
    flat = x.reshape(x.shape[0], x.shape[1], -1)
    count = 1
    for size in positions:
        count *= size
    if flat.shape[2] != count:
        flat = F.interpolate(flat, size=count, mode="nearest")
    return flat.reshape(x.shape[0], x.shape[1], *positions)


def _pooled(x: Tensor) -> Tensor:
    return x if x.ndim == 2 else x.flatten(2).mean(2)


def make(seed: int, layers: int) -> tuple[RandomNetwork, tuple[Tensor, ...]]:
    """Return a network of at most ``layers`` layers with random weights, in evaluation mode, and an example input.

    Operators that cannot follow another layer, as they need another input, or that have no gradient, are left out.
    """
    torch.manual_seed(seed)
    draw = RandomDraw(seed)
    builds = [build for op, group in sorted(examples().items()) if op not in _WITHOUT_GRADIENT for build in group]
    x = torch.randn(2, 3, 6, 6)
    values, chain = [x], []
    for _ in range(layers):
        layer = _join(draw, values) if draw.one_of(True, False, False) else _single(draw, values, draw.one_of(*builds))
        if layer is None:
            continue
        layer.eval()
        try:
            value = layer(values)
            value.square().sum().backward()  # some random operators cannot be trained
            value = value.detach()
        except (RuntimeError, ValueError, IndexError, TypeError, AttributeError):
            continue
        if not _usable(value):
            continue
        chain.append(layer)
        values.append(value)
    read = {source for layer in chain for source in layer.sources}
    unread = [index for index in range(len(values)) if index not in read]
    head = nn.Linear(sum(values[index].shape[1] for index in unread), 4)
    network = RandomNetwork(chain, head, unread)
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            tensor.data += 0.1 * torch.rand_like(tensor)
    return network.eval(), (x,)


def _usable(value: Any) -> bool:
    """Return whether a later layer can read ``value``: real numbers, (batch, channels, *positions), not too many."""
    return (
        isinstance(value, Tensor)
        and value.dtype == torch.float32
        and 2 <= value.ndim <= 5
        and value.shape[0] == 2
        and 0 < value.shape[1] <= 2 * _MOST_CHANNELS
        and 0 < value.numel() < 20_000
        and bool(value.isfinite().all())
        and float(value.abs().max()) < 1e3
    )


def _single(draw: RandomDraw, values: Sequence[Tensor], build: Build) -> Layer | None:
    """Return a layer with the operator of a conformance example, with its first layer adapted to the channels."""
    example = build(draw)
    network = example.network
    if not isinstance(network, Between) or len(example.inputs) != 1:
        return None
    source = draw.size(max(0, len(values) - 4), len(values) - 1)
    before, x = network.before, values[source]
    shape = example.inputs[0].shape
    if isinstance(before, nn.Linear):
        enter = nn.Linear(x.shape[1] if len(shape) > 2 else x[0].numel(), before.out_features, before.bias is not None)
        return Layer(enter, network.op, [source], shape[1:-1], last=True)
    if isinstance(before, _CONVOLUTIONS) and before.groups == 1:
        kind = type(before)
        enter = kind(x.shape[1], before.out_channels, before.kernel_size, before.stride, before.padding)  # type: ignore[arg-type]
        return Layer(enter, network.op, [source], shape[2:])
    return None


def _join(draw: RandomDraw, values: Sequence[Tensor]) -> Layer | None:
    """Return a layer that joins two values: the first is projected to the shape of the second."""
    first, second = (draw.size(max(0, len(values) - 6), len(values) - 1) for _ in range(2))
    x, y = values[first], values[second]
    if x.ndim == 2 or y.ndim == 2:
        return None
    kind = draw.one_of(*_JOINS)
    channels = y.shape[1] if kind != "cat" else draw.size(1, _MOST_CHANNELS)
    enter = _CONVOLUTIONS[y.ndim - 3](x.shape[1], channels, 1)
    return Layer(enter, getattr(_Joins, kind), [first, second], y.shape[2:])


class _Joins:
    """Ways to join two values with the same positions."""

    @staticmethod
    def add(x: Tensor, y: Tensor) -> Tensor:
        return F.relu(x + y)

    @staticmethod
    def cat(x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([x, y], 1)

    @staticmethod
    def gate(x: Tensor, y: Tensor) -> Tensor:
        return y * x.flatten(2).mean(2).sigmoid().view(x.shape[0], -1, *([1] * (x.ndim - 2)))

    @staticmethod
    def attend(x: Tensor, y: Tensor) -> Tensor:
        q, v = x.flatten(2).transpose(1, 2), y.flatten(2).transpose(1, 2)
        weights = torch.softmax(q @ v.transpose(1, 2) / q.shape[-1] ** 0.5, -1)
        return (weights @ v).transpose(1, 2).reshape(y.shape)
