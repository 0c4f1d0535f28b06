"""A network seen as a function from a tuple of tensors to a tuple of tensors, which is all that ONNX knows."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from edgeprune.errors import ModelError


class FlatNetwork(nn.Module):
    """Wraps ``network``; takes its inputs by position and gives its output tensors as a flat tuple.

    Attributes:
        network: The wrapped module; exporters see its parameters behind this name, see ``PREFIX``.
        inputs: The example.
        input_names: ``input``, or ``input_0``, ``input_1``, ...; the keywords where the example has keywords.
        output_names: ``output``, or ``output_0``, ``output_1``, ...
    """

    PREFIX = "network"

    def __init__(self, network: nn.Module, example: tuple[Tensor, ...] | Mapping[str, Tensor]) -> None:
        """Run the network once on ``example``, to see its outputs.

        Raises:
            ModelError: The forward pass fails, or gives no tensor.
        """
        super().__init__()
        self.network = network
        self.training = False
        self._keywords = tuple(example) if isinstance(example, Mapping) else None
        self.inputs = tuple(example.values()) if isinstance(example, Mapping) else tuple(example)
        try:
            outputs = self(*self.inputs)
        except Exception as problem:
            shapes = ", ".join(str(tuple(value.shape)) for value in self.inputs)
            raise ModelError(f"the network's forward fails on the example of shape {shapes}: {problem}") from problem
        if not outputs:
            raise ModelError("the network returns no tensor, so there is nothing to export")
        self.input_names = self._keywords or _numbered("input", len(self.inputs))
        self.output_names = _numbered("output", len(outputs))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if self._keywords is None:
            outputs = self.network(*inputs)
        else:
            outputs = self.network(**dict(zip(self._keywords, inputs, strict=True)))
        return tuple(leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, torch.Tensor))

    def train(self, mode: bool = True) -> FlatNetwork:
        """Stay as it is: exporters switch modes, which programs of ``torch.export`` refuse."""
        return self


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return (name,) if count == 1 else tuple(f"{name}_{index}" for index in range(count))
