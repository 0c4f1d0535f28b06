"""A TFLite file as checks look at it: operators with the tensors they read and write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edgeprune.backends.tflm.linting.finding import Finding, Level
from edgeprune.tflite.tflite_file import operator_name, scales
from edgeprune.tflite.tflite_loading import dimensions, is_outside
from edgeprune.tflite.tflite_schema import schema

_TYPES = schema.TensorType
_INTEGERS = {_TYPES.INT8, _TYPES.UINT8, _TYPES.INT16, _TYPES.INT4, _TYPES.INT2, _TYPES.UINT4}


@dataclass(frozen=True)
class Tensor:
    """A tensor of one graph.

    Attributes:
        index: In its graph.
        name: As in the file.
        shape: -1 for a size that is not known.
        signature: The same as it was before a runtime fixed it; empty where it is not told.
        is_constant: It is stored in the file.
        is_float: It holds float32 or float16.
        is_quantized: It holds integers with a scale.
        is_outside: It is stored behind the flatbuffer.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    is_constant: bool
    is_float: bool
    is_quantized: bool
    is_outside: bool


@dataclass(frozen=True)
class Operator:
    """An operator of one graph.

    Attributes:
        index: In its graph.
        graph: Index of that.
        kind: A name of the schema's ``BuiltinOperator``.
        custom: Code of a custom operator; empty for others.
        inputs: What it reads; None where an optional one is left out.
        outputs: What it writes.
        options: As the schema has them; None where there are none.
        has_outside_options: Its options lie behind the flatbuffer.
    """

    index: int
    graph: int
    kind: str
    custom: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Any
    has_outside_options: bool

    def finding(self, level: Level, code: str, message: str, remedy: str, *, tensor: str | None = None) -> Finding:
        """A finding about this operator."""
        place = tensor if tensor is not None else self.outputs[0].name if self.outputs else ""
        return Finding(level, code, message, remedy, self.index, self.custom or self.kind, place, self.graph)

    @property
    def activations(self) -> Iterator[Tensor]:
        """Activations that it reads and writes, which are not stored in the file."""
        return (tensor for tensor in (*self.inputs, *self.outputs) if tensor is not None and not tensor.is_constant)


@dataclass(frozen=True)
class TfliteSubgraph:
    """One graph of a file; the first is the one that runs.

    Attributes:
        inputs: In order.
        outputs: In order.
        operators: In the order in which they run.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: tuple[Operator, ...]


class TfliteNetwork:
    """A file that was loaded.

    Args:
        model: As ``tflite.tflite_loading.load`` gives it.
    """

    def __init__(self, model: schema.ModelT) -> None:
        self._model = model
        self.graphs = tuple(self._graph(number) for number in range(len(model.subgraphs)))

    @property
    def operators(self) -> Iterator[Operator]:
        """Those of all graphs."""
        return (op for graph in self.graphs for op in graph.operators)

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """How many there are of each kind."""
        found: dict[str, int] = {}
        for op in self.operators:
            name = op.custom or op.kind
            found[name] = found.get(name, 0) + 1
        return found

    def _graph(self, number: int) -> TfliteSubgraph:
        stored = self._model.subgraphs[number]
        tensors = [self._tensor(index, tensor) for index, tensor in enumerate(stored.tensors)]
        return TfliteSubgraph(
            tuple(tensors[index] for index in stored.inputs),
            tuple(tensors[index] for index in stored.outputs),
            tuple(self._operator(index, number, op, tensors) for index, op in enumerate(stored.operators)),
        )

    def _operator(self, index: int, graph: int, op: schema.OperatorT, tensors: list[Tensor]) -> Operator:
        custom = self._model.operatorCodes[op.opcodeIndex].customCode or b""
        return Operator(
            index,
            graph,
            operator_name(self._model, op),
            custom.decode(errors="replace"),
            tuple(tensors[place] if place >= 0 else None for place in op.inputs),
            tuple(tensors[place] for place in op.outputs),
            op.builtinOptions,
            is_outside(op.largeCustomOptionsOffset),
        )

    def _tensor(self, index: int, tensor: schema.TensorT) -> Tensor:
        buffer = self._model.buffers[tensor.buffer]
        outside = is_outside(buffer.offset)
        shape = dimensions(tensor)
        return Tensor(
            index,
            tensor.name.decode(),
            shape,
            () if tensor.shapeSignature is None else tuple(int(size) for size in tensor.shapeSignature),
            is_constant=outside or (buffer.data is not None and len(buffer.data) > 0) or 0 in shape,
            is_float=tensor.type in (_TYPES.FLOAT32, _TYPES.FLOAT16),
            is_quantized=tensor.type in _INTEGERS and bool(scales(tensor)),
            is_outside=outside,
        )
