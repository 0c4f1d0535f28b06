"""Small TFLite files, written operator by operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgeprune.tflite.tflite_file import pack

FLOAT, INT8, INT32 = schema.TensorType.FLOAT32, schema.TensorType.INT8, schema.TensorType.INT32


class File:
    """A file with one graph that grows tensor by tensor, operator by operator."""

    def __init__(self) -> None:
        self.buffers = [schema.BufferT()]
        self.tensors: list[schema.TensorT] = []
        self.codes: list[schema.OperatorCodeT] = []
        self.operators: list[schema.OperatorT] = []

    def tensor(
        self, name: str, shape: Sequence[int], kind: int = INT8, data: Any = None, *, steps: int = 1, axis: int = 0,
        scale: float | Sequence[float] = 0.5, zero_point: int = 0,
    ) -> int:  # fmt: skip
        """Add a tensor, with ``steps`` scales, or those of ``scale``, if it is int8; with ``data`` it is a constant."""
        quantization = None
        if kind == INT8:
            scales = [scale] * steps if isinstance(scale, (int, float)) else list(scale)
            quantization = schema.QuantizationParametersT(
                scale=scales, zeroPoint=[zero_point] * len(scales), quantizedDimension=axis
            )
        buffer = 0
        if data is not None:
            buffer = len(self.buffers)
            self.buffers.append(schema.BufferT(data=np.asarray(data).tobytes()))
        self.tensors.append(
            schema.TensorT(shape=list(shape), type=kind, buffer=buffer, name=name, quantization=quantization)
        )
        return len(self.tensors) - 1

    def op(
        self, kind: str, inputs: Sequence[int], outputs: Sequence[int], options: Any = None, custom: str = ""
    ) -> None:
        """Add an operator."""
        code = getattr(schema.BuiltinOperator, kind)
        self.codes.append(
            schema.OperatorCodeT(
                builtinCode=code, deprecatedBuiltinCode=min(code, 127), version=1, customCode=custom or None
            )
        )
        operator = schema.OperatorT(opcodeIndex=len(self.codes) - 1, inputs=list(inputs), outputs=list(outputs))
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        self.operators.append(operator)

    def model(self, inputs: Sequence[int], outputs: Sequence[int]) -> schema.ModelT:
        """The file as an object."""
        graph = schema.SubGraphT(
            tensors=self.tensors, operators=self.operators, inputs=list(inputs), outputs=list(outputs), name="main"
        )
        return schema.ModelT(version=3, operatorCodes=self.codes, subgraphs=[graph], buffers=self.buffers)

    def content(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file."""
        return pack(self.model(inputs, outputs))


def fully_connected(inputs: int = 8, outputs: int = 4) -> tuple[File, int, int]:
    """An int8 layer that TFLite Micro runs; the file, its input and its output."""
    file = File()
    x = file.tensor("x", (1, inputs))
    weights = file.tensor("w", (outputs, inputs), data=np.ones((outputs, inputs), np.int8))
    y = file.tensor("y", (1, outputs))
    file.op("FULLY_CONNECTED", (x, weights, -1), (y,), schema.FullyConnectedOptionsT())
    return file, x, y
