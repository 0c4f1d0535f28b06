"""Import of an ONNX file as a checked graph with computed constants and known shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from edgeprune.errors import ModelError
from edgeprune.export import onnx_loading
from edgeprune.export.onnx_functions import opset_of, with_inlined_functions
from edgeprune.export.onnx_loading import first_line
from edgeprune.export.onnx_modules import module_path
from edgeprune.tflite.conversion.layout_views import Shape
from edgeprune.tflite.conversion.onnx_constant_folding import folded
from edgeprune.tflite.conversion.onnx_graph import Node, OnnxGraph
from edgeprune.tflite.conversion.ops import registered

_OLDEST_OPSET = 13
_DTYPES = frozenset(np.dtype(name) for name in ("float32", "int64", "int32", "int16", "int8", "uint8", "bool"))


def read(model: Path | ModelProto) -> OnnxGraph:
    """Read a model whose inputs have fixed shapes. ``check_values`` checks the computed values.

    Raises:
        ModelError: The file does not exist or is not an ONNX model, or the shape of an input is not fixed.
    """
    name = str(model) if isinstance(model, Path) else "the model"
    proto = onnx_loading.load_file(model) if isinstance(model, Path) else model
    try:
        onnx.checker.check_model(proto)
        proto = _upgraded(proto)
        _check_inputs(proto, name)
        proto = folded(with_inlined_functions(proto, registered()))
    except ModelError:
        raise
    except Exception as problem:  # checker, inference and runtime raise classes of their own; protobuf ends at 2 GB
        raise ModelError(f"{name} is not a valid ONNX model: {first_line(problem)}") from problem
    return _graph(proto)


def check_values(graph: OnnxGraph) -> None:
    """Check that each value has a shape and a type that a TFLite file supports.

    Raises:
        ModelError: A value does not. The message names it and its node.
    """
    computed = [(name, node.where) for node in graph.nodes for name in node.outputs if name]
    for name, where in [*((name, "input") for name in graph.inputs), *computed]:
        if name not in graph.shapes:
            raise ModelError(f"{where}: the shape of '{name}' must be fixed, but depends on values")
        if graph.dtypes[name] not in _DTYPES:
            raise ModelError(
                f"{where}: '{name}' has the unsupported type {graph.dtypes[name]}; "
                f"allowed are {', '.join(sorted(str(dtype) for dtype in _DTYPES))}"
            )


def _upgraded(proto: ModelProto) -> ModelProto:
    version = opset_of(proto)
    return proto if version >= _OLDEST_OPSET else onnx.version_converter.convert_version(proto, _OLDEST_OPSET)


def _check_inputs(proto: ModelProto, name: str) -> None:
    constants = {tensor.name for tensor in proto.graph.initializer}
    for value in proto.graph.input:
        if value.name not in constants and _shape(value) is None:
            sizes = [dim.dim_param or (dim.dim_value if dim.HasField("dim_value") else "?") for dim in _dims(value)]
            raise ModelError(
                f"{name}: input '{value.name}' has the shape ({', '.join(map(str, sizes))}), but a TFLite file needs "
                "fixed "
                "sizes from 1: export the network for one batch size (dynamic_batch = false)"
            )


def _dims(value: onnx.ValueInfoProto) -> Any:
    return value.type.tensor_type.shape.dim


def _shape(value: onnx.ValueInfoProto) -> Shape | None:
    """Return the fixed shape; None if a size is dynamic or not positive."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    sizes = tuple(int(dim.dim_value) if dim.HasField("dim_value") else 0 for dim in _dims(value))
    return sizes if all(size > 0 for size in sizes) else None


def _graph(proto: ModelProto) -> OnnxGraph:
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    shapes = {name: tuple(array.shape) for name, array in constants.items()}
    dtypes = {name: array.dtype for name, array in constants.items()}
    for value in (*proto.graph.value_info, *proto.graph.output, *proto.graph.input):
        shape = _shape(value)
        if shape is not None:
            shapes[value.name] = shape
            dtypes[value.name] = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    return OnnxGraph(
        nodes=[_node(node) for node in proto.graph.node],
        constants=constants,
        shapes=shapes,
        dtypes=dtypes,
        inputs=[value.name for value in proto.graph.input if value.name not in constants],
        outputs=[value.name for value in proto.graph.output],
        opset=opset_of(proto),
    )


def _node(proto: NodeProto) -> Node:
    domain = "" if proto.domain in ("", "ai.onnx") else f"{proto.domain}."
    return Node(
        name=proto.name or proto.output[0],
        op=domain + proto.op_type,
        inputs=list(proto.input),
        outputs=list(proto.output),
        attributes={item.name: _value(item) for item in proto.attribute},
        module=module_path(proto),
    )


def _value(item: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(item)
    return value.decode(errors="replace") if isinstance(value, bytes) else value
