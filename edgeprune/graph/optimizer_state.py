"""Optimiser state follows the weights: momentum and moments are sliced as the parameters they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from edgeprune.errors import InputError


def check_optimizer(optimizer: torch.optim.Optimizer | None, model: nn.Module, *, copy: bool) -> None:
    """Refuse an optimiser whose state cannot follow, before anything is changed.

    Raises:
        InputError: a copy has other parameters than the optimiser steps; the optimiser steps none of this network; or
            some of its state is no tensor along the dimensions of a parameter.
    """
    if optimizer is None:
        return
    name = type(optimizer).__name__
    if copy:
        raise InputError(
            f"optimizer: got {name} together with copy=True, but the copy has parameters of its own, which {name} does "
            "not step; pass copy=False to prune the network in place, or make a new optimiser afterwards"
        )
    stepped = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    own = {path: parameter for path, parameter in model.named_parameters() if id(parameter) in stepped}
    if not own:
        raise InputError(
            f"optimizer: {name} steps no parameter of this {type(model).__name__}; pass the one made for it"
        )
    for path, parameter in own.items():
        for key, value in _state(optimizer, parameter):
            if not _follows(value, parameter.shape):
                raise InputError(
                    f"optimizer: {name} keeps {key!r} of shape {tuple(value.shape)} for {path} of shape "
                    f"{tuple(parameter.shape)}; only state along the dimensions of its parameter can be sliced. "
                    "Make a new optimiser after pruning"
                )


def slice_optimizer(optimizer: torch.optim.Optimizer, parameter: Tensor, kept: Mapping[int, Tensor]) -> None:
    """Keep the indices ``kept`` of all state of the dense ``parameter``; scalars such as the step count stay.

    A dimension that the state has summed up (size 1, as in Adafactor) has nothing to lose.
    """
    for key, value in _state(optimizer, parameter):
        small = value
        for dim, index in kept.items():
            if small.ndim and value.shape[dim] > 1:
                small = small.index_select(dim, index.to(value.device))
        optimizer.state[parameter][key] = small


def _state(optimizer: torch.optim.Optimizer, parameter: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The tensors an optimiser keeps for a parameter; its ``state`` makes entries on being asked, hence ``get``."""
    for key, value in list(optimizer.state.get(parameter, {}).items()):
        if isinstance(value, Tensor):
            yield key, value


def _follows(value: Tensor, shape: torch.Size) -> bool:
    """Whether a tensor of state is one number, or lies along the dimensions of a parameter of ``shape``."""
    along = value.ndim == len(shape) and all(own in (1, size) for own, size in zip(value.shape, shape, strict=True))
    return value.ndim == 0 or along
