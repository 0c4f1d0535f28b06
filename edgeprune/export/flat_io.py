"""Wrapper of a network as a function from a tuple of tensors to a tuple of tensors, as ONNX requires."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from edgeprune.errors import ModelError
from edgeprune.model.output_difference import tensors
from edgeprune.model.port_names import PortNames, port_names

Example = Sequence[Any] | Mapping[str, Any]
"""Arguments of a network by position or by name: pytrees of tensors and constants."""


class FlatNetwork(nn.Module):
    """Wrapper of ``network`` that takes tensors by position and returns output tensors as a flat tuple.

    Attributes:
        network: Wrapped module. Exporters prefix the names of its parameters with this name, see ``PREFIX``.
        inputs: Tensors of the example, in the order of the arguments, and in the order of the pytree inside each.
        input_names: Names of the inputs, see ``input_names``; for a network that was imported from a file, those of the
            file.
        output_names: Names of the outputs, in the order of the pytree: ``output``, or ``output_0``, ``output_1``, or
            those of the file.
    """

    PREFIX = "network"

    def __init__(self, network: nn.Module, example: Example) -> None:
        """Run the network once on ``example`` to determine its outputs.

        Raises:
            ModelError: The forward pass fails or returns no tensor.
        """
        super().__init__()
        self.network = network
        self.training = False
        arguments = ((), dict(example)) if isinstance(example, Mapping) else (tuple(example), {})
        self._leaves, self._structure = pytree.tree_flatten(arguments)
        self.inputs = tuple(leaf for leaf in self._leaves if isinstance(leaf, Tensor))
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
            names = PortNames(input_names(example), _numbered("output", len(outputs)))
        self.input_names = input_names(example) if isinstance(example, Mapping) else names.inputs
        self.output_names = names.outputs

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        remaining = iter(inputs)
        leaves = [next(remaining) if isinstance(leaf, Tensor) else leaf for leaf in self._leaves]
        args, kwargs = pytree.tree_unflatten(leaves, self._structure)
        return tuple(tensors(self.network(*args, **kwargs)))

    def train(self, mode: bool = True) -> FlatNetwork:
        """Ignore the mode. Exporters switch modes, which programs of ``torch.export`` do not support."""
        return self


def input_names(example: Example) -> tuple[str, ...]:
    """Return the name of each tensor in ``example``, in the order of its pytree.

    Arguments by position are named ``input``, or ``input_0``, ``input_1``, ...; arguments by name have their name.
    Inside a list, a tuple or a dict, the index or the key follows: ``input_0_mask``, ``features_2``.
    """
    by_name = isinstance(example, Mapping)
    arguments = dict(example) if by_name else tuple(example)
    paths = [path for path, leaf in pytree.tree_flatten_with_path(arguments)[0] if isinstance(leaf, Tensor)]
    if not by_name and len(arguments) == 1:
        paths = [path[1:] for path in paths]
    prefix = () if by_name else ("input",)
    return tuple("_".join((*prefix, *(_component(key) for key in path))) for path in paths)


def _component(key: Any) -> str:
    """Return the index, key or attribute name of one step into a pytree."""
    return next(str(getattr(key, name)) for name in ("idx", "key", "name") if hasattr(key, name))


def _numbered(name: str, count: int) -> tuple[str, ...]:
    return (name,) if count == 1 else tuple(f"{name}_{index}" for index in range(count))
