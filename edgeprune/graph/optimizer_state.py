"""Slicing of optimizer state (momentum, second moments) together with the parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from edgeprune.errors import InputError


def check_optimizer(optimizer: torch.optim.Optimizer | None, model: nn.Module, *, copy: bool) -> None:
    """Check that the state of an optimizer can be sliced, before the network is changed.

    Raises:
        InputError: The network is copied, the optimizer does not contain its parameters, or a tensor of the state does
            not have the dimensions of its parameter.
    """
    if optimizer is None:
        return
    name = type(optimizer).__name__
    if copy:
        raise InputError(
            f"optimizer: got {name} with copy=True, but {name} does not update the parameters of the copy: pass "
            "copy=False to prune the network in place, or create a new optimizer afterwards"
        )
    stepped = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    own = {path: parameter for path, parameter in model.named_parameters() if id(parameter) in stepped}
    if not own:
        raise InputError(
            f"optimizer: {name} has no parameter of this {type(model).__name__}: pass the optimizer of this network"
        )
    for path, parameter in own.items():
        for key, value in _state(optimizer, parameter):
            if not _follows(value, parameter.shape):
                raise InputError(
                    f"optimizer: {name} keeps {key!r} of shape {tuple(value.shape)} for {path} of shape "
                    f"{tuple(parameter.shape)}, but state can be sliced only if its shape is that of the parameter: "
                    "create a new optimizer after pruning"
                )


def slice_optimizer(optimizer: torch.optim.Optimizer, parameter: Tensor, kept_indices: Mapping[int, Tensor]) -> None:
    """Slice all state of the dense ``parameter`` to the indices in ``kept_indices``.

    Scalars such as the step count and reduced dimensions of the state (size 1, as in Adafactor) are unchanged.
    """
    for key, value in _state(optimizer, parameter):
        small = value
        for dim, index in kept_indices.items():
            if small.ndim and value.shape[dim] > 1:
                small = small.index_select(dim, index.to(value.device))
        optimizer.state[parameter][key] = small


def _state(optimizer: torch.optim.Optimizer, parameter: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Yield the state tensors of a parameter. ``get`` is used because indexing ``state`` creates entries."""
    for key, value in list(optimizer.state.get(parameter, {}).items()):
        if isinstance(value, Tensor):
            yield key, value


def _follows(value: Tensor, shape: torch.Size) -> bool:
    """Return whether a tensor of state is one number, or has the dimensions of a parameter of ``shape``."""
    matches = value.ndim == len(shape) and all(own in (1, size) for own, size in zip(value.shape, shape, strict=True))
    return value.ndim == 0 or matches
