"""Loading of TFLite files with checks of all indices and sizes, because runtimes do not check them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite, prod
from pathlib import Path

from edgeprune import input_files
from edgeprune.errors import ModelError
from edgeprune.tflite.tflite_schema import schema
from edgeprune.tflite.tflite_verifying import verify

_VERSION = 3
_INLINE = 1
"""Largest offset that is not outside the flatbuffer. Writers store 0 or 1 if there is no outside content."""
_MOST_BYTES = (1 << 31) - 1
_OPTIONAL = -1
_TYPES = schema.TensorType
_BITS = {
    _TYPES.FLOAT32: 32, _TYPES.FLOAT16: 16, _TYPES.INT32: 32, _TYPES.UINT8: 8, _TYPES.INT64: 64, _TYPES.BOOL: 8,
    _TYPES.INT16: 16, _TYPES.COMPLEX64: 64, _TYPES.INT8: 8, _TYPES.FLOAT64: 64, _TYPES.COMPLEX128: 128,
    _TYPES.UINT64: 64, _TYPES.UINT32: 32, _TYPES.UINT16: 16, _TYPES.INT4: 4, _TYPES.BFLOAT16: 16, _TYPES.INT2: 2,
    _TYPES.UINT4: 4, _TYPES.FLOAT8_E4M3FN: 8, _TYPES.FLOAT8_E5M2: 8,
}  # fmt: skip
"""Bits of an element. Strings, resources and variants have no fixed size."""
_KNOWN_TYPES = {code for name, code in vars(_TYPES).items() if not name.startswith("_")}


def load_file(path: Path) -> tuple[schema.ModelT, bytes]:
    """Load the file ``path``; return the model and the content of the file. See ``load``.

    Raises:
        ModelError: The file cannot be read, is not a TFLite file, is damaged or is inconsistent.
    """
    try:
        content = input_files.read_bytes(path, max_bytes=input_files.MAX_MODEL_BYTES)
        return load(content), content
    except OSError as problem:
        raise ModelError(f"cannot read the TFLite file {path}: {problem.strerror}") from problem
    except ValueError as problem:
        raise ModelError(f"{path} is not a valid TFLite file: {problem}") from problem


def load(content: bytes) -> schema.ModelT:
    """Load the content of a file. Omitted lists are empty, and names are UTF-8.

    Raises:
        ValueError: The content is not a TFLite file, is damaged or truncated, or is inconsistent. The message has the
            location.
    """
    verify(content)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    if model.version != _VERSION:
        raise ValueError(f"it has version {model.version} of the format, but {_VERSION} is supported")
    for name in ("operatorCodes", "subgraphs", "buffers"):
        if getattr(model, name) is None or not len(getattr(model, name)):
            raise ValueError(f"its {name} are missing")
    for number, buffer in enumerate(model.buffers):
        _check_behind(buffer.offset, buffer.size, f"buffer {number}", len(content))
    for graph in model.subgraphs:
        fill(graph)
        _Graph(model, graph, len(content)).check()
    _check_references(model)
    return model


def _check_references(model: schema.ModelT) -> None:
    """Reject metadata and signatures that refer to buffers, graphs or tensors that the file does not have."""
    for entry in model.metadata or ():
        if entry.buffer >= len(model.buffers):
            raise ValueError(f"metadata {entry.name!r} refers to buffer {entry.buffer} of {len(model.buffers)}")
    for signature in model.signatureDefs or ():
        key = signature.signatureKey
        if signature.subgraphIndex >= len(model.subgraphs):
            raise ValueError(f"signature {key!r} refers to graph {signature.subgraphIndex} of {len(model.subgraphs)}")
        tensors = len(model.subgraphs[signature.subgraphIndex].tensors)
        for entry in (*(signature.inputs or ()), *(signature.outputs or ())):
            if entry.tensorIndex >= tensors:
                raise ValueError(f"signature {key!r} refers to tensor {entry.tensorIndex} of {tensors}")


def is_outside(offset: int) -> bool:
    """Return whether an ``offset`` of the schema refers to content outside the flatbuffer."""
    return offset > _INLINE


def element_bytes(count: int, kind: int) -> int | None:
    """Return the size of ``count`` elements of a ``TensorType`` in bytes; None if elements have no fixed size."""
    bits = _BITS.get(kind)
    return None if bits is None else -(-count * bits // 8)


def dimensions(tensor: schema.TensorT) -> tuple[int, ...]:
    """Return the shape; empty for a scalar, or if the file does not state it."""
    return () if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def _check_behind(offset: int, size: int, description: str, file_bytes: int) -> None:
    if is_outside(offset) and offset + size > file_bytes:
        raise ValueError(
            f"{description} would be at bytes {offset:,} to {offset + size:,} of a file of {file_bytes:,}: "
            "it is truncated"
        )


def fill(graph: schema.SubGraphT) -> None:
    """Set lists and names of ``graph`` that the file omits to empty ones."""
    for name in ("tensors", "operators", "inputs", "outputs"):
        if getattr(graph, name) is None:
            setattr(graph, name, [])
    for tensor in graph.tensors:
        tensor.name = tensor.name or b""
    for op in graph.operators:
        op.inputs, op.outputs = (() if indices is None else indices for indices in (op.inputs, op.outputs))


class _Graph:
    """Checker of the references in a subgraph."""

    def __init__(self, model: schema.ModelT, graph: schema.SubGraphT, file_bytes: int) -> None:
        self._model, self._graph, self._file_bytes = model, graph, file_bytes

    def check(self) -> None:
        for number, tensor in enumerate(self._graph.tensors):
            self._check_tensor(tensor, f"tensor {number} ({tensor.name.decode()})")
        for name in ("inputs", "outputs"):
            self._check_indices(getattr(self._graph, name), f"an entry of the graph's {name}")
        ready = {*map(int, self._graph.inputs), *(n for n in range(len(self._graph.tensors)) if self._is_stored(n))}
        for number, op in enumerate(self._graph.operators):
            where = f"operator {number}"
            if op.opcodeIndex >= len(self._model.operatorCodes):
                raise ValueError(
                    f"{where} refers to operator code {op.opcodeIndex} of {len(self._model.operatorCodes)}"
                )
            self._check_indices((index for index in op.inputs if index != _OPTIONAL), f"an input of {where}")
            self._check_indices(op.outputs, f"an output of {where}")
            _check_behind(
                op.largeCustomOptionsOffset, op.largeCustomOptionsSize, f"options of {where}", self._file_bytes
            )
            for index in op.inputs:
                if index != _OPTIONAL and index not in ready:
                    raise ValueError(f"{where} reads tensor {index}, which no operator writes before")
            ready.update(map(int, op.outputs))
        for index in self._graph.outputs:
            if index not in ready:
                raise ValueError(f"output tensor {index} is not written by any operator")

    def _check_indices(self, indices: Iterable[int], description: str) -> None:
        for index in indices:
            if not 0 <= index < len(self._graph.tensors):
                raise ValueError(f"{description} refers to tensor {index} of {len(self._graph.tensors)}")

    def _is_stored(self, number: int) -> bool:
        """Return whether the tensor has values before inference: a constant, a variable, or an empty tensor."""
        tensor = self._graph.tensors[number]
        return bool(tensor.isVariable) or self._stored_bytes(tensor) > 0 or 0 in dimensions(tensor)

    def _stored_bytes(self, tensor: schema.TensorT) -> int:
        buffer = self._model.buffers[tensor.buffer]
        if is_outside(buffer.offset):
            return int(buffer.size)
        return 0 if buffer.data is None else len(buffer.data)

    def _check_tensor(self, tensor: schema.TensorT, where: str) -> None:
        if tensor.type not in _KNOWN_TYPES:
            raise ValueError(f"{where} is of type {tensor.type}, which is not supported")
        if tensor.buffer >= len(self._model.buffers):
            raise ValueError(f"{where} refers to buffer {tensor.buffer} of {len(self._model.buffers)}")
        shape = dimensions(tensor)
        if any(size < -1 for size in shape):
            raise ValueError(f"{where} has the invalid shape {list(shape)}")
        stored, needed = self._stored_bytes(tensor), element_bytes(prod(max(1, size) for size in shape), tensor.type)
        if needed is not None and needed > _MOST_BYTES:
            raise ValueError(
                f"{where} has the shape {list(shape)}, which needs {needed:,} bytes, but the limit is {_MOST_BYTES:,}"
            )
        if stored and needed is not None and tensor.sparsity is None:
            needed = element_bytes(prod(shape), tensor.type)
            if stored != needed:
                raise ValueError(
                    f"{where} has the shape {list(shape)}, which needs {needed:,} bytes, but {stored:,} are stored"
                )
        if tensor.quantization is not None:
            _check_quantization(tensor.quantization, shape, where)


def _check_quantization(steps: schema.QuantizationParametersT, shape: Sequence[int], where: str) -> None:
    scale = () if steps.scale is None else [float(value) for value in steps.scale]
    zero_point = () if steps.zeroPoint is None else list(steps.zeroPoint)
    if not all(isfinite(value) and value >= 0 for value in scale):
        raise ValueError(f"{where} has a quantization step that is negative or not finite")
    if scale and zero_point and len(zero_point) != len(scale):
        raise ValueError(f"{where} has {len(scale)} quantization steps, but {len(zero_point)} zero points")
    if len(scale) > 1 and not 0 <= steps.quantizedDimension < len(shape):
        raise ValueError(f"{where} is quantized along dimension {steps.quantizedDimension} of {len(shape)}")
    if len(scale) > 1 and len(scale) != shape[steps.quantizedDimension]:
        raise ValueError(
            f"{where} has {len(scale)} quantization steps along a dimension of size {shape[steps.quantizedDimension]}"
        )
