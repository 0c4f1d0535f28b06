"""Weights of an imported network: parameters, buffers and layers, their names, and which layers share them.

Layers share the weights that they share in the file, except for tensors whose elements are all equal. Exporters store
equal tensors once, so that layers would otherwise share the zeros and ones of their initial biases and scales.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from edgeprune.onnx_import.parameter_names import ParameterNames, attach
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant

_FIRST = 16


class WeightStore:
    """Weights in the module ``root``.

    Args:
        root: Module that is filled.
        readers: Nodes of the file that read each value.

    Attributes:
        origins: Names in the file of the tensors of the state dict, by name in the state dict.
    """

    def __init__(self, root: nn.Module, readers: Mapping[str, Sequence[SourceNode]]) -> None:
        self._root = root
        self._readers = readers
        self._names = ParameterNames(root)
        self._parameters: dict[tuple[int, str], nn.Parameter] = {}
        self._sources: dict[int, Constant] = {}
        self._paths: dict[int, str] = {}
        self._layers: dict[Any, str] = {}
        self._alive: list[Tensor] = []
        """Tensors whose ``id`` is a key of a mapping."""
        self.origins: dict[str, str] = {}

    def parameter(
        self, constant: Constant, layout: str = "", change: Callable[[Tensor], Tensor] | None = None
    ) -> nn.Parameter:
        """Return the trainable parameter of a constant.

        Args:
            constant: Its value.
            layout: Name of ``change``; a parameter is shared only in one layout.
            change: Change of the order or the shape of the elements.
        """
        key = (id(constant.tensor), layout)
        if key in self._parameters:
            return self._parameters[key]
        tensor = constant.tensor if change is None else change(constant.tensor)
        parameter = nn.Parameter(tensor.detach().clone().contiguous())
        self._alive += [constant.tensor, parameter]
        self._sources[id(parameter)] = constant
        if not _is_uniform(constant):
            self._parameters[key] = parameter
        return parameter

    def layer(self, node: SourceNode, module: nn.Module, constants: Sequence[Constant | None], key: Any) -> str:
        """Register a layer, and return its path. A layer with the same key and constants is registered once.

        Args:
            node: Node that is imported as the layer.
            module: Layer, with its weights.
            constants: Its weights, the most important first.
            key: All other properties of the layer.
        """
        weights = [constant for constant in constants if constant is not None]
        shared = [constant for constant in weights if not _is_uniform(constant)]
        full_key = (type(module), key, *(0 if one is None else id(one.tensor) for one in constants))
        if shared and full_key in self._layers:
            return self._layers[full_key]
        named = [one.origin for one in weights if one in shared or len(self._readers.get(one.origin, ())) < 2]
        path = self._names.layer(node.module, node.op, *named)
        attach(self._root, path, module.eval())
        self._layers[full_key] = path
        self._alive += [constant.tensor for constant in weights]
        leaves = [name for name, _ in module.named_parameters(recurse=False)]
        self.origins.update({f"{path}.{leaf}": one.origin for leaf, one in zip(leaves, weights, strict=False)})
        return path

    def tensor(self, node: SourceNode, tensor: Tensor, origin: str = "") -> str:
        """Return the path of a parameter or buffer, which is registered when it is first read."""
        if id(tensor) not in self._paths:
            source = self._sources.get(id(tensor))
            name = origin if source is None else source.origin
            is_merged = source is not None and _is_uniform(source) and len(self._readers.get(name, ())) > 1
            path = self._names.tensor(node.module, node.op, "" if is_merged else name)
            attach(self._root, path, tensor)
            self._alive.append(tensor)
            self._paths[id(tensor)] = path
            self.origins[path] = name
        return self._paths[id(tensor)]


def _is_uniform(constant: Constant) -> bool:
    elements = constant.tensor.reshape(-1)
    if not elements.numel():
        return True
    # Most tensors differ in their first elements.
    return all(bool((part == elements[0]).all()) for part in (elements[:_FIRST], elements))
