"""Representation of a TFLite file for checks: operators with their input and output tensors."""

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
    """Tensor of a subgraph.

    Attributes:
        index: Index in its graph.
        name: Name in the file.
        shape: Shape, with -1 for a size that is not known.
        signature: Shape before a runtime fixed it; empty if the file does not state it.
        is_constant: Whether its values are stored in the file.
        is_float: Whether its type is float32 or float16.
        is_quantized: Whether its values are integers with a scale.
        is_outside: Whether its values are stored outside the flatbuffer.
        scale: Difference between neighboring values; None if it is not quantized, or has a scale for each channel.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    is_constant: bool
    is_float: bool
    is_quantized: bool
    is_outside: bool
    scale: float | None


@dataclass(frozen=True)
class Operator:
    """Operator of a subgraph.

    Attributes:
        index: Index in its graph.
        graph: Index of the graph.
        kind: Name in the schema's ``BuiltinOperator``.
        custom: Code of a custom operator; empty for others.
        inputs: Input tensors; None for an optional input that is omitted.
        outputs: Output tensors.
        options: Options object of the schema; None without options.
        has_outside_options: Whether its options are stored outside the flatbuffer.
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
        """Create a finding about this operator."""
        tensor_name = tensor if tensor is not None else self.outputs[0].name if self.outputs else ""
        return Finding(level, code, message, remedy, self.index, self.custom or self.kind, tensor_name, self.graph)

    @property
    def activations(self) -> Iterator[Tensor]:
        """Input and output tensors that are not constants."""
        return (tensor for tensor in (*self.inputs, *self.outputs) if tensor is not None and not tensor.is_constant)


@dataclass(frozen=True)
class TfliteSubgraph:
    """Subgraph of a file. Inference runs the first subgraph.

    Attributes:
        inputs: Inputs, in order.
        outputs: Outputs, in order.
        operators: Operators, in execution order.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    operators: tuple[Operator, ...]


class TfliteNetwork:
    """Loaded TFLite file.

    Args:
        model: Model returned by ``tflite.tflite_loading.load``.
    """

    def __init__(self, model: schema.ModelT) -> None:
        self._model = model
        self.graphs = tuple(self._graph(number) for number in range(len(model.subgraphs)))

    @property
    def operators(self) -> Iterator[Operator]:
        """Operators of all graphs."""
        return (op for graph in self.graphs for op in graph.operators)

    @cached_property
    def counts(self) -> Mapping[str, int]:
        """Number of operators of each kind."""
        counts_by_name: dict[str, int] = {}
        for op in self.operators:
            name = op.custom or op.kind
            counts_by_name[name] = counts_by_name.get(name, 0) + 1
        return counts_by_name

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
            tuple(tensors[tensor_index] if tensor_index >= 0 else None for tensor_index in op.inputs),
            tuple(tensors[tensor_index] for tensor_index in op.outputs),
            op.builtinOptions,
            is_outside(op.largeCustomOptionsOffset),
        )

    def _tensor(self, index: int, tensor: schema.TensorT) -> Tensor:
        buffer = self._model.buffers[tensor.buffer]
        stored_outside = is_outside(buffer.offset)
        shape = dimensions(tensor)
        return Tensor(
            index,
            tensor.name.decode(),
            shape,
            () if tensor.shapeSignature is None else tuple(int(size) for size in tensor.shapeSignature),
            is_constant=stored_outside or (buffer.data is not None and len(buffer.data) > 0) or 0 in shape,
            is_float=tensor.type in (_TYPES.FLOAT32, _TYPES.FLOAT16),
            is_quantized=tensor.type in _INTEGERS and bool(scales(tensor)),
            is_outside=stored_outside,
            scale=_scale(tensor),
        )


def _scale(tensor: schema.TensorT) -> float | None:
    values = scales(tensor) if tensor.type in _INTEGERS else ()
    return float(values[0]) if len(values) == 1 else None
