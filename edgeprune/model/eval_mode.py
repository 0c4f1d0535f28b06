"""Temporary changes of the training and evaluation mode of a network, restored module by module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from torch import nn


@contextmanager
def preserve_modes(model: nn.Module) -> Iterator[None]:
    """Restore the mode of every module of ``model`` at the end, so that a frozen BatchNorm remains frozen."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Put ``model`` into evaluation mode, and restore the mode of every module at the end.

    The mode of a ``torch.export`` program is fixed at capture, and is not changed.
    """
    with preserve_modes(model):
        if any(module.training for module in model.modules()):
            with suppress(NotImplementedError):
                model.eval()
        yield
