"""A captured program in the place of a forward that fits the dense network alone."""

from __future__ import annotations

from typing import Any

from torch import nn


class ForwardOverride:
    """The forward of ``model``, whose own fits the dense network alone: ``program``, over the same tensors."""

    def __init__(self, model: nn.Module, program: nn.Module) -> None:
        self.model = model
        self.program = program

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        modes = {name: module.training for name, module in self.model.named_modules()}
        for name, module in self.program.named_modules():
            module.training = modes.get(name, self.model.training)
        return self.program(*args, **kwargs)
