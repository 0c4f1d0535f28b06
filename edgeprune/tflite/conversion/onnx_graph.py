"""The ONNX side of a conversion: nodes, constants, and the static shape and type of every value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgeprune.errors import ModelError
from edgeprune.tflite.conversion.layout_views import Shape
from edgeprune.tflite.conversion.tflite_graph import Array


@dataclass
class Node:
    """A node of the ONNX graph.

    Attributes:
        name: Unique; that of the first output where the file gives none.
        op: Its operator, with the domain where that is not ONNX's own.
        inputs: Names of values; an empty one is left out.
        outputs: Names of values.
        attributes: By name, strings decoded.
        module: Path of the module that made it, as ``export.onnx_modules.module_path`` gives it.
    """

    name: str
    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    module: str = ""

    @property
    def where(self) -> str:
        """For messages."""
        inside = f" of module {self.module}" if self.module else ""
        return f"node {self.name} ({self.op}){inside}"

    def input(self, index: int) -> str:
        """Name of an input; empty where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def refused(self, got: str, allowed: str) -> ModelError:
        """Error for a form of the operator that has no lowering."""
        return ModelError(f"{self.where} has {got}, which cannot be converted to TFLite; it must be {allowed}")


@dataclass
class OnnxGraph:
    """A graph that is ready to be lowered.

    Attributes:
        nodes: Each after those it reads from.
        constants: Values that do not depend on the inputs.
        shapes: Of every value.
        dtypes: Of every value.
        inputs: In the order of the file.
        outputs: In the order of the file.
    """

    nodes: list[Node]
    constants: dict[str, Array]
    shapes: dict[str, Shape]
    dtypes: dict[str, np.dtype[Any]]
    inputs: list[str]
    outputs: list[str]

    def readers(self) -> dict[str, list[Node]]:
        """Who reads each value."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                readers.setdefault(name, []).append(node)
        return readers

    def producers(self) -> dict[str, Node]:
        """Who writes each value."""
        return {name: node for node in self.nodes for name in node.outputs}
