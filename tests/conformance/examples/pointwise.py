"""Operators that combine elements at the same place."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.conformance.examples.base import Draw, Example, example, image, sequence

_aten = torch.ops.aten


def _copied(x: Tensor) -> Tensor:
    return torch.empty_like(x).copy_(x)


_ALIKE: dict[str, Callable[[Tensor], Tensor]] = {
    "alias": _aten.alias,
    "alpha_dropout": lambda x: F.alpha_dropout(x, 0.3, training=False),
    "clone": lambda x: x.clone(),
    "contiguous": lambda x: x.transpose(2, 3).contiguous(),
    "copy": _copied,
    "detach": lambda x: x.detach(),
    "dropout": lambda x: F.dropout(x, 0.3, training=False),
    "empty_like": _copied,
    "feature_alpha_dropout": lambda x: F.feature_alpha_dropout(x, 0.3, training=False),
    "feature_dropout": lambda x: F.dropout2d(x, 0.3, training=False),
    "fill": lambda x: x + x.clone().fill_(2.0),
    "floor_divide": lambda x: x + torch.floor_divide(x, 0.7),
    "full_like": lambda x: x + torch.full_like(x, 0.5),
    "hardswish": F.hardswish,
    "lift_fresh": _aten.lift_fresh,
    "lift_fresh_copy": _aten.lift_fresh_copy,
    "masked_fill": lambda x: x.masked_fill(x > 0.1, 0.25),
    "ones_like": lambda x: x + torch.ones_like(x),
    "relu6": F.relu6,
    "rsub": lambda x: torch.rsub(x, 2.0),
    "to": lambda x: x.to(torch.float64).to(torch.float32),
    "_to_copy": lambda x: _aten._to_copy(x, dtype=torch.float64).float(),
    "true_divide": lambda x: torch.true_divide(x, 3.0),
    "type_as": lambda x: x.type_as(x.double()).float(),
    "where": lambda x: torch.where(x > 0.1, x, -2 * x),
    "zero": lambda x: x + x.clone().zero_(),
    "zeros_like": lambda x: x + torch.zeros_like(x),
    # Known by their tag: a few of many.
    "relu": lambda x: x.clone().relu_(),
    "gelu": F.gelu,
    "pow": lambda x: x**2,
    "lerp": lambda x: torch.lerp(x, x.flip(2), 0.3),
    # In place they lack the tag.
    "abs": lambda x: x.clone().abs_(),
    "gt": lambda x: x * x.clone().gt_(0.1),
    "mish": nn.Mish(inplace=True),
    "threshold": nn.Threshold(0.1, 0.25, inplace=True),
}
for _name, _op in _ALIKE.items():

    @example(_name)
    def _alike(draw: Draw, op: Callable[[Tensor], Tensor] = _op) -> Example:
        return image(draw, op, draw.size(2, 8))


class _Second(nn.Module):
    """Combines what comes in with a second tensor of the network."""

    def __init__(self, second: Tensor | nn.Module, op: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.second = nn.Parameter(second) if isinstance(second, Tensor) else second
        self.op = op

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x, self.second(x) if isinstance(self.second, nn.Module) else self.second)


@example("add", "mul")
def _broadcast_parameters(draw: Draw) -> Example:
    channels = draw.size(2, 8)
    shape = draw.one_of((channels, 1, 1), (1, channels, 4, 1), (1, 1, 4), (1,))
    return image(draw, _Second(torch.randn(shape), lambda x, second: (x + second) * second), channels)


@example("mul")
def _gate(draw: Draw) -> Example:
    """Squeeze and excite."""
    channels, hidden = draw.size(2, 8), draw.size(2, 4)
    gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1))
    op = _Second(gate, lambda x, second: x * second.sigmoid())
    return image(draw, op, channels, more={"op.second.1": hidden, "op.second.2": channels})


@example("mul")
def _masks_of_sources(draw: Draw) -> Example:
    """Features with a mask for each source, as networks that separate sources have."""
    channels, sources = draw.size(2, 6), draw.size(2, 3)
    masks = nn.Conv2d(channels, sources * channels, 1)
    op = lambda x, second: (x.unsqueeze(1) * second.unflatten(1, (sources, channels))).sum(1)
    return image(draw, _Second(masks, op), channels, more={"op.second": channels})


@example("where", "masked_fill")
def _masked_by_another_layer(draw: Draw) -> Example:
    channels = draw.size(2, 8)
    op = lambda x, second: torch.where(second > 0, x, 0.5).masked_fill(x > 1, 2.0)
    return image(draw, _Second(nn.Conv2d(channels, channels, 1), op), channels, more={"op.second": channels})


@example("add")
def _outer_sum(draw: Draw) -> Example:
    """(batch, features, 1) + (batch, 1, features): both dimensions are those of the features."""
    features = draw.size(2, 6)
    return sequence(draw, lambda x: (x[:, :, None] + x[:, None]).relu().sum(1), features, steps=None)


@example("broadcast_tensors")
def _broadcast_tensors(draw: Draw) -> Example:
    channels = draw.size(2, 8)
    shape = draw.one_of((channels, 1, 1), (1, 1, 4), (1,))
    return image(draw, _Second(torch.randn(shape), lambda x, second: sum(torch.broadcast_tensors(x, second))), channels)


@example("prelu", "_prelu_kernel")
def _prelu(draw: Draw) -> Example:
    channels = draw.size(2, 8)
    return image(draw, nn.PReLU(draw.one_of(1, channels)), channels)


@example("glu")
def _glu(draw: Draw) -> Example:
    width = draw.size(2, 6)
    return image(draw, lambda x: F.glu(x, 1), 2 * width, width)


@example("glu")
def _glu_over_positions(draw: Draw) -> Example:
    return image(draw, lambda x: F.glu(x, -1), draw.size(2, 6))
