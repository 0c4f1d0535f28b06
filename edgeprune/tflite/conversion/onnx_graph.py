"""ONNX graph of a conversion: nodes, constants, and the static shape and type of every value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeprune.errors import ModelError
from edgeprune.tflite.conversion.layout_views import Shape
from edgeprune.tflite.conversion.tflite_graph import Array


@dataclass
class Node:
    """Node of the ONNX graph.

    Attributes:
        name: Unique name; that of the first output if the file has none.
        op: Operator, with its domain if that is not the default domain.
        inputs: Names of input values; empty for an omitted input.
        outputs: Names of output values.
        attributes: Attributes by name, with decoded strings.
        module: Path of its module in the network, see ``export.onnx_modules.module_path``.
    """

    name: str
    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    module: str = ""

    @property
    def where(self) -> str:
        """Location of the node for messages."""
        module = f" of module {self.module}" if self.module else ""
        return f"node {self.name} ({self.op}){module}"

    def input(self, index: int) -> str:
        """Return the name of an input; empty if it is omitted."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def unsupported(self, actual: str, allowed: str) -> ModelError:
        """Return the error for a variant of the operator that has no lowering."""
        return ModelError(f"{self.where} has {actual}, which cannot be converted to TFLite; it must be {allowed}")


@dataclass
class OnnxGraph:
    """Graph that is ready to be lowered.

    Attributes:
        nodes: Nodes in topological order.
        constants: Values that do not depend on the inputs, by name.
        shapes: Shape of every value.
        dtypes: Type of every value.
        inputs: Names of the inputs, in the order of the file.
        outputs: Names of the outputs, in the order of the file.
        opset: Version of the default operator set.
    """

    nodes: list[Node]
    constants: dict[str, Array]
    shapes: dict[str, Shape]
    dtypes: dict[str, np.dtype[Any]]
    inputs: list[str]
    outputs: list[str]
    opset: int

    def readers(self) -> dict[str, list[Node]]:
        """Return the readers of each value."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                readers.setdefault(name, []).append(node)
        return readers

    def producers(self) -> dict[str, Node]:
        """Return the producer of each value."""
        return {name: node for node in self.nodes for name in node.outputs}
