"""Temporary changes of the mode of a network: training and evaluation mode of each module, and caches of decoders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from torch import nn


@contextmanager
def without_cache(model: nn.Module) -> Iterator[None]:
    """Set ``config.use_cache`` of all modules (Hugging Face decoders) to False, and restore it at the end.

    The keys and values of earlier tokens, which a decoder returns beside its logits, are an object that no exporter
    supports. One pass over all tokens does not need them.
    """
    configs = {id(config): config for module in model.modules() if (config := getattr(module, "config", None))}
    caching = [config for config in configs.values() if getattr(config, "use_cache", False) is True]
    for config in caching:
        config.use_cache = False
    try:
        yield
    finally:
        for config in caching:
            config.use_cache = True


@contextmanager
def preserve_modes(model: nn.Module) -> Iterator[None]:
    """Restore the mode of every module of ``model`` at the end, so that a frozen BatchNorm remains frozen.

    Meanwhile, decoders do not use a cache.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        with without_cache(model):
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
