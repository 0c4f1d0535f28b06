"""Loading of ONNX files with limits, so that checking and running them terminates.

The checker, shape inference and runtimes of ONNX inline functions. In a file of a few kilobytes, functions can call
each other so often that this does not terminate, and names can contain characters that cannot be printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto, numpy_helper

from edgeprune import input_files
from edgeprune.errors import ModelError
from edgeprune.safe_text import printable

MAX_NODES = 1_000_000
"""Largest number of nodes after inlining of functions, including subgraphs."""
MAX_FUNCTION_DEPTH = 64
MAX_ELEMENTS = (1 << 31) - 1
_MAX_CHARACTERS = 300
_TYPES = frozenset(TensorProto.DataType.values())
_TYPE_STRING = 9
"""``google.protobuf.descriptor.FieldDescriptor.TYPE_STRING``."""
_TOO_DEEP = f"its functions are nested deeper than {MAX_FUNCTION_DEPTH} levels"
_Functions = dict[tuple[str, str, str], Iterable[NodeProto]]


def load_file(path: Path) -> ModelProto:
    """Read the model ``path``, including tensors in external files.

    Raises:
        ModelError: The file does not exist, is not an ONNX model, exceeds a limit (see ``check_limits``), or has a
            tensor whose content does not match its shape and type.
    """
    try:
        content = input_files.read_bytes(path, max_bytes=input_files.MAX_MODEL_BYTES)
    except FileNotFoundError as problem:
        raise ModelError(f"cannot read {path}: the file does not exist") from problem
    except OSError as problem:
        raise ModelError(f"cannot read {path}: {problem.strerror}") from problem
    try:
        model = onnx.load_model_from_string(content)
        check_limits(model)
        onnx.load_external_data_for_model(model, str(path.parent))
        _check_contents(model)
    except Exception as problem:  # protobuf's errors share no base class with those of missing external data
        raise ModelError(f"{path} cannot be read as ONNX: {first_line(problem)}") from problem
    return model


def external_files(path: Path) -> list[Path]:
    """Return the files that contain tensors of the model ``path``, sorted; none if the model cannot be read.

    Files outside of the folder of the model are not listed, because ``load_file`` rejects them.
    """
    try:
        model = onnx.load_model_from_string(input_files.read_bytes(path, max_bytes=input_files.MAX_MODEL_BYTES))
    except Exception:  # noqa: BLE001 - as in load_file, which reports it
        return []
    folder = path.parent.resolve()
    locations = {
        entry.value for tensor in _tensors(model.graph) for entry in tensor.external_data if entry.key == "location"
    }
    files = ((folder / location).resolve() for location in locations)
    return sorted(file for file in files if file.is_relative_to(folder) and file.is_file())


def check_file(path: Path) -> None:
    """Check the file ``path`` with ``load_file``, and with the checker and shape inference of ONNX.

    Raises:
        ModelError: The file is not a valid model.
    """
    model = load_file(path)
    try:
        onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model, strict_mode=True)
    except Exception as problem:  # they raise classes of their own; protobuf ends at 2 GB
        raise ModelError(f"{path} is not a valid ONNX model: {first_line(problem)}") from problem


def first_line(problem: BaseException) -> str:
    """Return the first line of a library's message, shortened to fit into a sentence."""
    line = next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
    return printable(line if len(line) <= _MAX_CHARACTERS else f"{line[:_MAX_CHARACTERS]}...")


def check_limits(model: ModelProto) -> None:
    """Check that tools can process ``model``.

    Raises:
        ModelError: The model has no graph, a name that is not UTF-8, an unknown opset, a tensor of more than
            ``MAX_ELEMENTS`` elements, recursive or too deeply nested functions, or too many nodes.
    """
    _check_strings(model)
    if not model.HasField("graph"):
        raise ModelError("it has no graph")
    for entry in model.opset_import:
        newest = onnx.defs.onnx_opset_version() if entry.domain in ("", "ai.onnx") else MAX_ELEMENTS
        if not 1 <= entry.version <= newest:
            raise ModelError(f"opset of '{entry.domain or 'ai.onnx'}': got {entry.version}, must be from 1 to {newest}")
    _check_tensors(model.graph)
    functions: _Functions = {
        (function.domain, function.name, function.overload): function.node for function in model.functions
    }
    count, _ = _Expansion(functions).size(model.graph.node)
    if count > MAX_NODES:
        raise ModelError(f"it has {count:,} nodes with inlined functions, but the limit is {MAX_NODES:,}")


def _check_strings(message: Any) -> None:
    """Check every string in ``message`` except the content of tensors."""
    if isinstance(message, TensorProto):
        _check_utf8(message.name, message.doc_string, *message.external_data)
        return
    for field, value in message.ListFields():
        values = value if isinstance(value, Iterable) and not isinstance(value, (str, bytes)) else (value,)
        if field.type == _TYPE_STRING:
            _check_utf8(*values)
        elif field.message_type is not None:
            for inner in values:
                _check_strings(inner)


def _check_utf8(*values: Any) -> None:
    for value in values:
        if isinstance(value, StringStringEntryProto):
            _check_utf8(value.key, value.value)
        elif isinstance(value, bytes):  # protobuf's Python gives a string that is not UTF-8 as its bytes
            raise ModelError(f"it has a name that is not UTF-8: {value[:40]!r}")


def _check_tensors(graph: GraphProto) -> None:
    for tensor in _tensors(graph):
        _check_shape(tensor.name, tensor.dims)
    for inner in _all_graphs(graph):
        for value in (*inner.input, *inner.output, *inner.value_info):
            dims = value.type.tensor_type.shape.dim
            _check_shape(value.name, [dim.dim_value for dim in dims if dim.HasField("dim_value")])


def _check_contents(model: ModelProto) -> None:
    """Reject tensors whose content does not match their shape and type. The checker of ONNX accepts them."""
    for tensor in (
        *_tensors(model.graph),
        *_attribute_tensors(node for function in model.functions for node in function.node),
    ):
        _check_content(tensor)


def _check_content(tensor: TensorProto) -> None:
    try:
        numpy_helper.to_array(tensor)  # a view where the content is raw bytes
    except Exception as problem:  # of numpy, of onnx and of codecs
        kind = TensorProto.DataType.Name(tensor.data_type) if tensor.data_type in _TYPES else tensor.data_type
        raise ModelError(
            f"expected the content of tensor '{tensor.name}' to be of type {kind} and shape {list(tensor.dims)}, "
            f"but {first_line(problem)}: export the model again"
        ) from problem


def _check_shape(name: str, shape: Iterable[int]) -> None:
    sizes = list(shape)
    if any(size < 0 for size in sizes) or prod(sizes) > MAX_ELEMENTS:
        raise ModelError(
            f"'{name}' has the shape {sizes}; expected sizes from 0, and at most {MAX_ELEMENTS:,} elements"
        )


def _all_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield ``graph`` and all graphs in the attributes of its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in _graphs(attribute):
                yield from _all_graphs(inner)


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    for inner in _all_graphs(graph):
        yield from inner.initializer
        yield from _attribute_tensors(inner.node)


def _attribute_tensors(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else attribute.tensors)


def _graphs(attribute: AttributeProto) -> list[GraphProto]:
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


class _Expansion:
    """Counter of the nodes after inlining. It does not inline, but counts each function once."""

    def __init__(self, functions: _Functions) -> None:
        self._functions = functions
        self._sizes: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._open: set[tuple[str, str, str]] = set()

    def size(self, nodes: Iterable[NodeProto]) -> tuple[int, int]:
        """Return the number of nodes and the depth of nested functions."""
        count = depth = 0
        for node in nodes:
            sizes = [self.size(graph.node) for item in node.attribute for graph in _graphs(item)]
            key = (node.domain, node.op_type, node.overload)
            if key in self._functions:
                sizes.append(self._function(key))
            count += 1 + sum(inner for inner, _ in sizes)
            depth = max([depth, *(inner for _, inner in sizes)])
        return count, depth

    def _function(self, key: tuple[str, str, str]) -> tuple[int, int]:
        if key in self._open:
            raise ModelError(f"its function '{key[1]}' calls itself")
        if key not in self._sizes:
            if len(self._open) >= MAX_FUNCTION_DEPTH:
                raise ModelError(_TOO_DEEP)
            self._open.add(key)
            count, depth = self.size(self._functions[key])
            self._open.remove(key)
            self._sizes[key] = count, depth + 1
        if self._sizes[key][1] > MAX_FUNCTION_DEPTH:
            raise ModelError(_TOO_DEEP)
        return self._sizes[key]
