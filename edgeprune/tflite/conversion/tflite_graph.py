"""The TFLite side of a conversion: tensors and operators, before they become a flatbuffer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(eq=False)
class Tensor:
    """A tensor of the file.

    Attributes:
        name: Of the ONNX node that computes it, or of the node and its part in it; of the value for inputs and outputs.
        shape: As it is stored.
        dtype: Of its values.
        data: The values where they are constant, of shape ``shape``.
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
    """An operator of the file.

    Attributes:
        code: A name of the schema's ``BuiltinOperator``.
        inputs: None where an optional one is left out.
        outputs: What it writes.
        options: An options object of the schema's object API; None where the operator has none.
    """

    code: str
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    options: Any = None

    @property
    def first(self) -> Tensor:
        """The first input, which every operator but those of constants has."""
        assert self.inputs[0] is not None
        return self.inputs[0]

    @property
    def output(self) -> Tensor:
        return self.outputs[0]


@dataclass
class TfliteGraph:
    """Operators in an order in which each follows those it reads from."""

    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    ops: list[TfliteOp] = field(default_factory=list)

    def remove(self, gone: Iterable[TfliteOp]) -> None:
        dropped = set(gone)
        self.ops = [op for op in self.ops if op not in dropped]

    def drop_dead(self) -> None:
        """Remove operators whose outputs nobody reads."""
        needed: set[Tensor | None] = set(self.outputs)
        kept = []
        for op in reversed(self.ops):
            if needed.intersection(op.outputs):
                needed.update(op.inputs)
                kept.append(op)
        self.ops = kept[::-1]


class Uses:
    """Who writes and who reads each tensor of a graph as it is now."""

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
        """The one operator that reads ``tensor``, where that is all its use."""
        readers = self.readers(tensor)
        return readers[0] if len(readers) == 1 and tensor not in self._outputs else None
