"""Representation of an int8 TFLite file for code generation: steps with their tensors, constants and options."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeprune.errors import ModelError
from edgeprune.tflite.tflite_file import operator_name, read
from edgeprune.tflite.tflite_schema import schema

Array = NDArray[Any]
TYPES: dict[int, np.dtype[Any]] = {
    schema.TensorType.INT8: np.dtype("int8"),
    schema.TensorType.INT32: np.dtype("int32"),
    schema.TensorType.FLOAT32: np.dtype("float32"),
    schema.TensorType.BOOL: np.dtype("bool"),
    schema.TensorType.INT64: np.dtype("int64"),
}
"""Element types by their code in files."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """Tensor of the network. Two tensors are equal only if they are the same object.

    Attributes:
        index: Index in the file.
        name: Name in the file.
        shape: Shape, with static sizes.
        dtype: Type of the elements.
        scales: Quantization scales: one, or one for each channel; () for a tensor that is not quantized.
        zero_point: Integer that represents 0.
        data: Values of a constant; None for an activation.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scales: tuple[float, ...]
    zero_point: int
    data: Array | None

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return self.elements * self.dtype.itemsize

    @property
    def scale(self) -> float:
        """Scale of the tensor.

        Raises:
            ModelError: The tensor does not have one scale.
        """
        if len(self.scales) != 1:
            raise ModelError(
                f"tensor '{self.name}' must have one scale, but it has {len(self.scales)}: quantize the model"
            )
        return self.scales[0]

    @property
    def values(self) -> Array:
        """Values of a constant.

        Raises:
            ModelError: The tensor is computed.
        """
        if self.data is None:
            raise ModelError(
                f"tensor '{self.name}' must be a constant for C code, but it is computed: convert the model again"
            )
        return self.data


@dataclass(frozen=True, eq=False)
class Step:
    """Operator of the network.

    Attributes:
        index: Index in the file.
        kind: Name in the schema's ``BuiltinOperator``, or ``TABLE``.
        inputs: Input tensors; None for an optional input that is omitted.
        outputs: Output tensors.
        options: Options object of the schema; None without options.
        parts: Steps of the file that a ``TABLE`` computes, in order.
        pads: Rows and columns of zero points before the image of a convolution, and after it.
    """

    index: int
    kind: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Any
    parts: tuple[Step, ...] = ()
    pads: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    @property
    def name(self) -> str:
        """Name of the step in messages: its kind, or those of its parts, and its output."""
        kinds = ", ".join(part.kind for part in self.parts) or self.kind
        return f"{kinds} '{self.outputs[0].name}'"

    @property
    def output(self) -> Tensor:
        """Output of a step that has one."""
        (output,) = self.outputs
        return output

    def input(self, index: int) -> Tensor:
        """Return an input that is required.

        Raises:
            ModelError: The input is omitted.
        """
        tensor = self.inputs[index] if index < len(self.inputs) else None
        if tensor is None:
            raise ModelError(f"{self.name} must have input {index}, but it is omitted: convert the model again")
        return tensor

    @property
    def activations(self) -> Iterator[Tensor]:
        """Inputs that are not constants."""
        return (tensor for tensor in self.inputs if tensor is not None and tensor.data is None)


@dataclass(frozen=True)
class Int8Network:
    """Network of one subgraph.

    Attributes:
        inputs: Inputs, in order.
        outputs: Outputs, in order.
        steps: Operators, in execution order.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    steps: tuple[Step, ...]


def read_network(path: Path) -> Int8Network:
    """Read the TFLite file ``path``.

    Raises:
        ModelError: The file cannot be read or is damaged, has several subgraphs, sizes that are not known, element
            types without code, or inputs and outputs that are not int8.
    """
    model = read(path)
    if len(model.subgraphs) != 1:
        raise ModelError(
            f"{path} must have one subgraph, but it has {len(model.subgraphs)}: convert the model without loops"
        )
    graph = model.subgraphs[0]
    used = {int(index) for op in graph.operators for index in (*op.inputs, *op.outputs) if index >= 0}
    used |= {int(index) for index in (*graph.inputs, *graph.outputs)}
    tensors = {index: _tensor(model, graph, index, path) for index in sorted(used)}
    steps = tuple(
        Step(
            number,
            operator_name(model, op),
            tuple(tensors[int(index)] if index >= 0 else None for index in op.inputs),
            tuple(tensors[int(index)] for index in op.outputs),
            op.builtinOptions,
        )
        for number, op in enumerate(graph.operators)
    )
    return Int8Network(
        tuple(tensors[int(index)] for index in graph.inputs),
        tuple(tensors[int(index)] for index in graph.outputs),
        steps,
    )


def _tensor(model: schema.ModelT, graph: schema.SubGraphT, index: int, path: Path) -> Tensor:
    stored = graph.tensors[index]
    name = stored.name.decode(errors="replace")
    dtype = TYPES.get(stored.type)
    if dtype is None:
        raise ModelError(
            f"{path}: tensor '{name}' has a type that C code does not support, expected int8, int32 or float32: "
            "quantize the float model to int8"
        )
    shape = () if stored.shape is None else tuple(int(size) for size in stored.shape)
    if any(size < 1 for size in shape):
        raise ModelError(
            f"{path}: tensor '{name}' has the shape {shape}, but all sizes must be known: convert the model again"
        )
    steps = stored.quantization
    scales = () if steps is None or steps.scale is None else tuple(float(scale) for scale in steps.scale)
    zero_points = [] if steps is None or steps.zeroPoint is None else list(steps.zeroPoint)
    buffer = model.buffers[stored.buffer].data
    data = None
    if buffer is not None and len(buffer):
        data = np.frombuffer(bytes(buffer), dtype).reshape(shape)
    return Tensor(index, name, shape, dtype, scales, int(zero_points[0]) if zero_points else 0, data)
