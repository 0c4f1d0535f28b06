"""Replacement of a forward with hard-coded sizes by the captured program."""

from __future__ import annotations

from typing import Any

from torch import nn


class ForwardOverride:
    """Forward of ``model`` that runs ``program`` over the same tensors, with the training modes of ``model``."""

    def __init__(self, model: nn.Module, program: nn.Module) -> None:
        self.model = model
        self.program = program

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        modes = {name: module.training for name, module in self.model.named_modules()}
        for name, module in self.program.named_modules():
            module.training = modes.get(name, self.model.training)
        return self.program(*args, **kwargs)
