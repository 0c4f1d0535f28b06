"""Wrapper of a network as a function from a tuple of tensors to a tuple of tensors, as ONNX requires."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from edgeprune.errors import ModelError
from edgeprune.model.port_names import PortNames, port_names


class FlatNetwork(nn.Module):
    """Wrapper of ``network`` that takes inputs by position and returns output tensors as a flat tuple.

    Attributes:
        network: Wrapped module. Exporters prefix the names of its parameters with this name, see ``PREFIX``.
        inputs: Example inputs.
        input_names: Names of the inputs: ``input``, or ``input_0``, ``input_1``, ..., or the keywords of the example;
            for a network that was imported from a file, those of the file.
        output_names: Names of the outputs: ``output``, or ``output_0``, ``output_1``, ..., or those of the file.
    """

    PREFIX = "network"

    def __init__(self, network: nn.Module, example: tuple[Tensor, ...] | Mapping[str, Tensor]) -> None:
        """Run the network once on ``example`` to determine its outputs.

        Raises:
            ModelError: The forward pass fails or returns no tensor.
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
            raise ModelError(
                f"forward of the network fails on the example input of shape {shapes}: {problem}"
            ) from problem
        if not outputs:
            raise ModelError("the network must return at least one tensor to be exported")
        names = port_names(network)
        if names is None or (len(names.inputs), len(names.outputs)) != (len(self.inputs), len(outputs)):
            names = PortNames(_numbered("input", len(self.inputs)), _numbered("output", len(outputs)))
        self.input_names = self._keywords or names.inputs
        self.output_names = names.outputs

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        if self._keywords is None:
            outputs = self.network(*inputs)
        else:
            outputs = self.network(**dict(zip(self._keywords, inputs, strict=True)))
        return tuple(leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, torch.Tensor))

    def train(self, mode: bool = True) -> FlatNetwork:
        """Ignore the mode. Exporters switch modes, which programs of ``torch.export`` do not support."""
        return self


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return (name,) if count == 1 else tuple(f"{name}_{index}" for index in range(count))
