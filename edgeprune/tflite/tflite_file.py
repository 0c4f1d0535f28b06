"""Reading and writing of TFLite files, and their inputs and outputs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeprune import safe_json
from edgeprune.errors import ModelError
from edgeprune.tflite.tflite_loading import fill, load_file
from edgeprune.tflite.tflite_schema import flatbuffers, schema

Array = NDArray[Any]
Order = tuple[int, ...]
"""See ``Port.order``."""

_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16
_MOST_BYTES = (1 << 31) - 1
_ORDERS = "edgeprune.orders"
"""Name of the metadata buffer with the dimension orders, which the runner of a bundle also reads."""
_TYPES: dict[int, str] = {code: name for name, code in vars(schema.TensorType).items() if not name.startswith("_")}
_BUILTINS: dict[int, str] = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}


@dataclass(frozen=True)
class Port:
    """Input or output of a TFLite file, and its relation to the ONNX file from which it was converted.

    Attributes:
        name: Name in the ONNX file.
        shape: Shape in the TFLite file.
        dtype: Name of the element type in the TFLite file.
        order: Dimension i of the TFLite file is dimension ``order[i]`` of the ONNX file: (0, 2, 3, 1) is NHWC of NCHW.
        scale: Size of a quantization step; 0 if the port is not quantized.
        zero_point: Integer that represents 0.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    order: Order
    scale: float = 0.0
    zero_point: int = 0

    @property
    def onnx_shape(self) -> tuple[int, ...]:
        """Shape in the layout of the ONNX file."""
        return tuple(self.shape[place] for place in np.argsort(self.order))

    @property
    def batch_size(self) -> int:
        """Number of samples of one inference: size of dimension 0 in the ONNX file, or 1 for a scalar."""
        return self.onnx_shape[0] if self.shape else 1

    def stored(self, values: Array) -> Array:
        """Convert values of the ONNX file to the TFLite file. Floats are quantized if the port is quantized."""
        if self.scale and np.issubdtype(values.dtype, np.floating):
            ends = np.iinfo(self.dtype)
            values = np.clip(np.rint(values / self.scale) + self.zero_point, ends.min, ends.max).astype(self.dtype)
        return np.asarray(values.transpose(self.order), order="C")

    def restored(self, values: Array) -> Array:
        """Convert values of the TFLite file to the ONNX file. Quantized integers become float32."""
        if self.scale:
            values = ((values.astype(np.int32) - self.zero_point) * np.float32(self.scale)).astype(np.float32)
        return self.moved(values)

    def moved(self, values: Array) -> Array:
        """Convert the layout of the TFLite file to that of the ONNX file. Quantized integers remain integers."""
        return np.asarray(values.transpose(np.argsort(self.order)), order="C")


def image_order(rank: int) -> Order:
    """Default ``Port.order``: channels last for images, and the order of ONNX for other tensors."""
    return (0, 2, 3, 1) if rank == 4 else tuple(range(rank))


def read(path: Path) -> schema.ModelT:
    """Read a file as an object, including buffers outside the flatbuffer; see ``tflite_loading.load``.

    Raises:
        ModelError: The file cannot be read, is not a TFLite file, is damaged (see ``load_file``), or has a graph
            without operators.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    checked, content = load_file(path)  # the generated Python code checks no offset
    empty = next((number for number, graph in enumerate(checked.subgraphs) if not len(graph.operators)), None)
    if empty is not None:
        raise ModelError(f"{path} must have operators, but graph {empty} has none: convert the model again")
    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    for graph in model.subgraphs:
        fill(graph)
    return model


def operator_name(model: schema.ModelT, operator: schema.OperatorT) -> str:
    """Return the name of the operator in the schema's ``BuiltinOperator``."""
    code = model.operatorCodes[operator.opcodeIndex]
    return _BUILTINS.get(max(code.builtinCode, code.deprecatedBuiltinCode), "unknown")


def tensor_bytes(tensor: schema.TensorT) -> int:
    """Size of the elements in bytes. Types of at most four bits take a byte each, because TFLite Micro unpacks them."""
    kind = _TYPES[tensor.type].lower()
    size = np.dtype(kind).itemsize if kind in np.sctypeDict else 1
    return math.prod(int(length) for length in ([] if tensor.shape is None else tensor.shape)) * size


def tensor_name(graph: schema.SubGraphT, index: int) -> str:
    """Name of the tensor at ``index``, which is that of the ONNX node that computes it."""
    return str(graph.tensors[index].name.decode())


def scales(tensor: schema.TensorT) -> Sequence[float]:
    """Quantization scales: one for the tensor, or one for each channel; empty if it is not quantized."""
    steps = tensor.quantization
    return () if steps is None or steps.scale is None else list(steps.scale)


def input_ports(model: schema.ModelT, source_ports: Sequence[Port] | None = None) -> tuple[Port, ...]:
    """Inputs of the file, in order.

    Args:
        model: Model returned by ``read``.
        source_ports: Inputs of the file from which this one was converted, with their names and orders. By default, the
            file states the orders, or else ``image_order`` applies.

    Raises:
        ModelError: The file states orders that do not match its inputs.
    """
    graph = model.subgraphs[0]
    return _ports(graph, graph.inputs, source_ports, _stated_orders(model, "inputs"))


def output_ports(model: schema.ModelT, source_ports: Sequence[Port] | None = None) -> tuple[Port, ...]:
    """Outputs of the file, in order; see ``input_ports``."""
    graph = model.subgraphs[0]
    return _ports(graph, graph.outputs, source_ports, _stated_orders(model, "outputs"))


def state_orders(model: schema.ModelT, inputs: Sequence[Order], outputs: Sequence[Order]) -> None:
    """Write the dimension orders of inputs and outputs into the metadata of ``model``.

    Readers of the file without its ``Port`` objects (a profile, the runner of a bundle, firmware) need the orders to
    convert values.
    """
    content = json.dumps({"inputs": inputs, "outputs": outputs}, separators=(",", ":")).encode()
    other_entries = [entry for entry in model.metadata or [] if entry.name != _ORDERS.encode()]
    model.metadata = [*other_entries, schema.MetadataT(name=_ORDERS.encode(), buffer=len(model.buffers))]
    model.buffers = [*model.buffers, schema.BufferT(data=content)]


def _stated_orders(model: schema.ModelT, direction: str) -> list[Order] | None:
    """Return the orders that ``state_orders`` wrote; None if there are none."""
    entry = next((entry for entry in model.metadata or [] if entry.name == _ORDERS.encode()), None)
    if entry is None:
        return None
    tensors = model.subgraphs[0].tensors
    ranks = [len(_shape(tensors[index])) for index in getattr(model.subgraphs[0], direction)]
    try:
        orders = [tuple(order) for order in safe_json.loads(bytes(model.buffers[entry.buffer].data))[direction]]
        matches = [sorted(order) for order in orders] == [list(range(rank)) for rank in ranks]
    except (IndexError, KeyError, TypeError, ValueError) as problem:
        raise ModelError(f"the metadata {_ORDERS} are not valid: {problem!r}") from problem
    if not matches:
        raise ModelError(f"the metadata {_ORDERS} has the orders {orders} for {direction} of ranks {ranks}")
    return orders


def _ports(
    graph: schema.SubGraphT, indices: Sequence[int], source_ports: Sequence[Port] | None, stated: Sequence[Order] | None
) -> tuple[Port, ...]:
    ports = []
    for number, index in enumerate(indices):
        tensor = graph.tensors[index]
        shape = _shape(tensor)
        stepped = len(scales(tensor)) == 1
        zero_point = tensor.quantization.zeroPoint if stepped else None
        ports.append(
            Port(
                source_ports[number].name if source_ports else tensor.name.decode(),
                shape,
                _TYPES[tensor.type].lower(),
                source_ports[number].order if source_ports else stated[number] if stated else image_order(len(shape)),
                float(tensor.quantization.scale[0]) if stepped else 0.0,
                0 if zero_point is None or not len(zero_point) else int(zero_point[0]),
            )
        )
    return tuple(ports)


def _shape(tensor: schema.TensorT) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def pack(model: schema.ModelT) -> bytes:
    """Serialize a model with all buffers aligned and inside the flatbuffer.

    Raises:
        ModelError: The model exceeds the 2 GiB of a flatbuffer.
    """
    total = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    if total > _MOST_BYTES:
        raise ModelError(f"the weights have {total:,} bytes, but a TFLite file can have at most {_MOST_BYTES:,}")
    model.buffers = [_Buffer(buffer.data) for buffer in model.buffers]
    builder = flatbuffers.Builder(total + (1 << 16))
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


class _Buffer(schema.BufferT):  # type: ignore[misc]
    """Buffer whose data is aligned to 16 bytes. Kernels on Arm need this, but generated Python code does not do it."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - called by generated code
        data = None
        if self.data is not None and len(self.data):
            content = bytes(self.data)
            builder.StartVector(1, len(content), _ALIGNMENT)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))
