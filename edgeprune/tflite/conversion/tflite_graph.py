"""TFLite graph of a conversion: tensors and operators before serialization."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(eq=False)
class Tensor:
    """Tensor of the TFLite file.

    Attributes:
        name: Name of the ONNX node that computes it, with a suffix for inner tensors. Inputs and outputs have the name
            of the ONNX value.
        shape: Stored shape.
        dtype: Type of the values.
        data: Values of a constant, of shape ``shape``; None if they are computed.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    data: Array | None = None

    @classmethod
    def constant(cls, name: str, data: Array) -> Tensor:
        return cls(name, data.shape, data.dtype, data)

    @property
    def is_constant(self) -> bool:
        return self.data is not None


@dataclass(eq=False)
class TfliteOp:
    """Operator of the TFLite file.

    Attributes:
        code: Name in the schema's ``BuiltinOperator``.
        inputs: Inputs; None for an omitted optional input.
        outputs: Outputs.
        options: Options object of the schema's object API; None for an operator without options.
    """

    code: str
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    options: Any = None

    @property
    def first(self) -> Tensor:
        """First input. All operators except those of constants have it."""
        assert self.inputs[0] is not None
        return self.inputs[0]

    @property
    def output(self) -> Tensor:
        return self.outputs[0]


@dataclass
class TfliteGraph:
    """Graph with operators in topological order."""

    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    ops: list[TfliteOp] = field(default_factory=list)

    def remove(self, ops: Iterable[TfliteOp]) -> None:
        dropped = set(ops)
        self.ops = [op for op in self.ops if op not in dropped]

    def drop_dead(self) -> None:
        """Remove operators whose outputs have no readers."""
        needed: set[Tensor | None] = set(self.outputs)
        live_ops = []
        for op in reversed(self.ops):
            if needed.intersection(op.outputs):
                needed.update(op.inputs)
                live_ops.append(op)
        self.ops = live_ops[::-1]


class Uses:
    """Producers and readers of each tensor of a graph, at the time of creation."""

    def __init__(self, graph: TfliteGraph) -> None:
        self._producers = {tensor: op for op in graph.ops for tensor in op.outputs}
        self._outputs = set(graph.outputs)
        self._readers: dict[Tensor, list[TfliteOp]] = {}
        for op in graph.ops:
            for tensor in op.inputs:
                if tensor is not None:
                    self._readers.setdefault(tensor, []).append(op)

    def producer(self, tensor: Tensor) -> TfliteOp | None:
        return self._producers.get(tensor)

    def readers(self, tensor: Tensor) -> list[TfliteOp]:
        return self._readers.get(tensor, [])

    def sole_reader(self, tensor: Tensor) -> TfliteOp | None:
        """Return the only reader of ``tensor``; None for several readers, or for an output."""
        readers = self.readers(tensor)
        return readers[0] if len(readers) == 1 and tensor not in self._outputs else None
