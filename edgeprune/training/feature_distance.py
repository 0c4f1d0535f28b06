"""Features of two networks: the layers to compare, and their squared distance with a fast backward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune.graph import Group


def feature_layers(
    groups: Sequence[Group], dense: nn.Module, small: nn.Module, kept_indices: Mapping[str, Mapping[int, Tensor]]
) -> dict[str, Tensor | None]:
    """Return the last BatchNorm layer of each group that both networks have, with its remaining channels."""
    layers: dict[str, Tensor | None] = {}
    modules = dict(small.named_modules())
    for group in groups:
        names = [member.tensor.rpartition(".")[0] for member in group.members if member.tensor.endswith(".weight")]
        norms = [name for name in names if isinstance(modules.get(name), _BatchNorm)]
        if norms and isinstance(dense.get_submodule(norms[-1]), _BatchNorm):
            layers[norms[-1]] = kept_indices.get(f"{norms[-1]}.weight", {}).get(0)
    return layers


class _SquaredDistance(torch.autograd.Function):
    """Mean of (own - theirs)**2 over the sampled positions, with a gradient in the memory format of ``own``.

    The gradient of a slice would be contiguous, and the backward pass of BatchNorm is much slower for that format.
    """

    @staticmethod
    def forward(context: Any, own: Tensor, theirs: Tensor) -> Tensor:
        difference = own[sampled_positions(own)].float() - theirs
        context.save_for_backward(difference)
        context.layout = own.size(), own.stride()
        context.options = {"dtype": own.dtype, "device": own.device}
        return difference.square().mean()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (difference,) = context.saved_tensors
        own_gradient = torch.empty_strided(*context.layout, **context.options).zero_()
        scaled = difference * (2 * gradient / difference.numel())
        own_gradient[sampled_positions(own_gradient)] = scaled.to(own_gradient.dtype)
        return own_gradient, None


def squared_distance(own: Tensor, theirs: Tensor) -> Tensor:
    """Return the mean squared distance of ``own`` at its sampled positions from ``theirs``, a scalar."""
    distance: Tensor = _SquaredDistance.apply(own, theirs)  # type: ignore[no-untyped-call]
    return distance


def sampled_positions(tensor: Tensor) -> tuple[Any, ...]:
    """Return the index of every other row and column of (N, C, ...), a quarter of the work at the same quality."""
    return (..., *[slice(None, None, 2)] * (tensor.ndim - 2))
