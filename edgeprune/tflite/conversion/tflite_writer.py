"""Serialization of a graph as a TFLite file. All buffers are in ``Buffer.data``, where TFLite Micro expects them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgeprune.tflite.conversion.tflite_graph import Array, Tensor, TfliteGraph, TfliteOp
from edgeprune.tflite.tflite_file import Order, pack, state_orders
from edgeprune.tflite.tflite_schema import schema

_SCHEMA_VERSION = 3
_SIGNATURE = "serving_default"
_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int64": schema.TensorType.INT64,
    "int32": schema.TensorType.INT32,
    "int16": schema.TensorType.INT16,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "bool": schema.TensorType.BOOL,
}


def tensor_type(dtype: np.dtype[Any]) -> int:
    """Return the schema's ``TensorType``."""
    return int(_TYPES[dtype.name])


def write(graph: TfliteGraph, input_orders: Sequence[Order], output_orders: Sequence[Order]) -> bytes:
    """Serialize ``graph`` as a TFLite file.

    Args:
        graph: Lowered network.
        input_orders: ``Port.order`` of each input.
        output_orders: ``Port.order`` of each output.

    Raises:
        ModelError: The file would be larger than the 2 GiB that a flatbuffer can have.
    """
    model = _model(graph)
    state_orders(model, input_orders, output_orders)
    return pack(model)


def _model(graph: TfliteGraph) -> schema.ModelT:
    tensors = _tensors(graph)
    index = {tensor: number for number, tensor in enumerate(tensors)}
    names = _unique([tensor.name for tensor in tensors])
    buffers: list[bytes] = [b""]  # by the schema's rule the first one is empty; it serves what is computed
    buffer_indices: dict[bytes, int] = {}
    subgraph = schema.SubGraphT(
        inputs=[index[tensor] for tensor in graph.inputs],
        outputs=[index[tensor] for tensor in graph.outputs],
        tensors=[],
        operators=[],
        name="main",
    )
    for tensor, name in zip(tensors, names, strict=True):
        number = 0
        if tensor.data is not None:
            content = _bytes(tensor.data)
            number = buffer_indices.setdefault(content, len(buffers))
            if number == len(buffers):
                buffers.append(content)
        stored = schema.TensorT(shape=list(tensor.shape), type=tensor_type(tensor.dtype), buffer=number, name=name)
        stored.hasRank = not tensor.shape
        subgraph.tensors.append(stored)
    codes: dict[tuple[str, int], int] = {}
    for op in graph.ops:
        code = codes.setdefault((op.code, _version(op)), len(codes))
        subgraph.operators.append(_operator(op, code, index))
    ports = [
        [schema.TensorMapT(name=tensor.name, tensorIndex=index[tensor]) for tensor in tensors_of_port]
        for tensors_of_port in (graph.inputs, graph.outputs)
    ]
    return schema.ModelT(
        version=_SCHEMA_VERSION,
        description="edgeprune",
        operatorCodes=[_operator_code(name, version) for name, version in codes],
        subgraphs=[subgraph],
        buffers=[schema.BufferT(data=content) for content in buffers],
        signatureDefs=[schema.SignatureDefT(inputs=ports[0], outputs=ports[1], signatureKey=_SIGNATURE)],
    )


def _tensors(graph: TfliteGraph) -> list[Tensor]:
    ordered = dict.fromkeys(graph.inputs)
    for op in graph.ops:
        ordered.update(dict.fromkeys(tensor for tensor in (*op.inputs, *op.outputs) if tensor is not None))
    ordered.update(dict.fromkeys(graph.outputs))
    return list(ordered)


def _unique(names: Sequence[str]) -> list[str]:
    used_names: set[str] = set()
    next_numbers: dict[str, int] = {}
    unique = []
    for name in names:
        free, number = name, next_numbers.get(name, 1)
        while free in used_names:
            free, number = f"{name}_{number}", number + 1
        next_numbers[name] = number
        used_names.add(free)
        unique.append(free)
    return unique


def _bytes(data: Array) -> bytes:
    return data.astype(data.dtype.newbyteorder("<"), copy=False).tobytes()


def _operator_code(name: str, version: int) -> schema.OperatorCodeT:
    code = getattr(schema.BuiltinOperator, name)
    placeholder = schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES
    return schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=min(code, placeholder), version=version)


def _operator(op: TfliteOp, code: int, index: dict[Tensor, int]) -> schema.OperatorT:
    operator = schema.OperatorT(
        opcodeIndex=code,
        inputs=[-1 if tensor is None else index[tensor] for tensor in op.inputs],
        outputs=[index[tensor] for tensor in op.outputs],
    )
    if op.options is not None:
        operator.builtinOptions = op.options
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(op.options).__name__.removesuffix("T"))
    return operator


def _version(op: TfliteOp) -> int:
    """Return the first kernel version that supports this variant, as in ``op_version.cc`` of LiteRT."""
    x, options = op.first, op.options
    rank = max(len(tensor.shape) for tensor in op.inputs if tensor is not None)
    broadcasts = len({tensor.shape for tensor in op.inputs if tensor is not None}) > 1
    match op.code:
        case "CONV_2D":
            weights = op.inputs[1]
            return 6 if weights is not None and weights.shape[3] != x.shape[3] else 1
        case "DEPTHWISE_CONV_2D":
            return 1 if options.dilationHFactor == options.dilationWFactor == 1 else 2
        case "FULLY_CONNECTED":
            return 5 if options.keepNumDims else 1
        case "TRANSPOSE_CONV":
            return 4 if options.fusedActivationFunction else 3
        case "RESIZE_BILINEAR":
            return 3 if options.halfPixelCenters else 1
        case "RESIZE_NEAREST_NEIGHBOR":
            return 3 if options.halfPixelCenters or options.alignCorners else 1
        case "TRANSPOSE":
            return 1 if rank <= 4 else 4 if rank == 5 else 6
        case "PAD" | "PADV2" | "STRIDED_SLICE":
            return 4 if rank > 4 else 1
        case "BROADCAST_TO":
            return 2
        case "SLICE":
            return 5 if rank > 4 else 1
        case "MUL" if x.dtype == np.int64:
            return 5
        case "ADD" | "SUB" if x.dtype == np.int64:
            return 4
        case "SPLIT" if op.output.dtype == np.int32:
            return 3
        case "MAXIMUM" | "MINIMUM" | "SUB":
            return 3 if broadcasts and rank > 4 else 1
        case "DIV":
            return 2 if broadcasts and rank > 4 else 1
        case _:
            return 1
