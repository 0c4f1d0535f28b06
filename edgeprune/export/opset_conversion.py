"""Conversion from opset 18 to 17.

Opset 18 is the lowest that the exporter on ``torch.export`` writes; every JetPack supports 17. The converter of the
ONNX project does not support most of this conversion. The changes are few, and move an attribute to an input or back:
 https://github.com/onnx/onnx/blob/main/docs/Changelog.md#version-18-of-the-default-onnx-operator-set
"""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnx_ir as ir
from onnx import ModelProto

from edgeprune.export.torch_exporters import ExportFailed

_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")


def version(model: ModelProto) -> int:
    """Return the opset of the default domain."""
    return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def lower(model: ModelProto, opset: int) -> ModelProto:
    """Convert ``model`` to ``opset``. A model with this or a lower opset is returned unchanged.

    Raises:
        ExportFailed: An operator of the model cannot be expressed in ``opset``.
    """
    if version(model) <= opset:
        return model
    if (version(model), opset) != (18, 17):
        raise ExportFailed(f"the exporter wrote opset {version(model)}, which cannot be converted to {opset}")
    lowered = ir.from_proto(onnx.shape_inference.infer_shapes(model))
    for node in lowered.graph:
        if not node.domain and not _exists(node.op_type, opset):
            raise ExportFailed(f"{node.op_type} of node {node.name} needs opset 18 or newer")
        if node.op_type in _DOWN and not node.domain:
            _DOWN[node.op_type](node, lowered.graph)
    lowered.opset_imports[""] = opset
    return ir.to_proto(lowered)


def _exists(op_type: str, opset: int) -> bool:
    """Return whether the operator is part of ``opset`` of the default domain."""
    try:
        onnx.defs.get_schema(op_type, opset)
    except onnx.defs.SchemaError:
        return False
    return True


def _pad(node: ir.Node, graph: ir.Graph) -> None:
    """Remove the list of padded axes, which is new in 18. Earlier opsets pad all axes."""
    if len(node.inputs) < 4 or node.inputs[3] is None:
        return
    rank = len(_shape(node))
    axes, pads = _integers(node, 3), _integers(node, 1)
    full = [0] * (2 * rank)
    for position, axis in enumerate(axes):
        full[axis % rank] = pads[position]
        full[rank + axis % rank] = pads[len(axes) + position]
    node.replace_input_with(1, _constant(graph, f"{node.outputs[0].name}_pads", full))
    node.resize_inputs(2 if node.inputs[2] is None else 3)


def _reduction(node: ir.Node, _graph: ir.Graph) -> None:
    """Convert the axes to an attribute. They are an input in 18."""
    axes = _integers(node, 1) if len(node.inputs) > 1 and node.inputs[1] is not None else []
    if node.attributes.get_int("noop_with_empty_axes", 0) and not axes:
        raise ExportFailed(f"{node.op_type} of node {node.name} reduces no axes, which opset 17 does not support")
    node.attributes.pop("noop_with_empty_axes", None)
    node.resize_inputs(1)
    if axes:
        node.attributes.add(ir.AttrInt64s("axes", axes))


def _split(node: ir.Node, graph: ir.Graph) -> None:
    """Replace the number of parts, which is new in 18, with a list of sizes if the parts are unequal."""
    if node.attributes.pop("num_outputs", None) is not None:
        axis, shape, parts = node.attributes.get_int("axis", 0), _shape(node), len(node.outputs)
        length = shape[axis] if len(shape) else None
        if not isinstance(length, int):
            raise ExportFailed(f"{node.op_type} of node {node.name}: the size of its input must be fixed")
        part = -(-length // parts)
        sizes = [part] * (parts - 1) + [length - part * (parts - 1)]
        node.resize_inputs(2)
        node.replace_input_with(1, _constant(graph, f"{node.outputs[0].name}_sizes", sizes))


def _resize(node: ir.Node, _graph: ir.Graph) -> None:
    """Reject antialiasing and a selection of axes, which are new in 18."""
    for name in ("antialias", "axes"):
        if name in node.attributes and node.attributes[name].value:
            raise ExportFailed(f"Resize of node {node.name} has {name}, which needs opset 18 or newer")
    for name in ("antialias", "keep_aspect_ratio_policy"):
        node.attributes.pop(name, None)


def _scatter(node: ir.Node, _graph: ir.Graph) -> None:
    """Reject reductions by minimum and maximum, which are new in 18."""
    if node.attributes.get_string("reduction", "none") in ("max", "min"):
        raise ExportFailed(
            f"{node.op_type} of node {node.name} computes maxima or minima, which needs opset 18 or newer"
        )


def _integers(node: ir.Node, index: int) -> list[int]:
    value = node.inputs[index]
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    if tensor is None:
        raise ExportFailed(f"{node.op_type} of node {node.name} has computed axes, which opset 17 does not support")
    return [int(number) for number in tensor.numpy().reshape(-1)]


def _shape(node: ir.Node) -> ir.Shape:
    value = node.inputs[0]
    if value is None or value.shape is None:
        raise ExportFailed(f"{node.op_type} of node {node.name}: the rank of its input must be fixed")
    return value.shape


def _constant(graph: ir.Graph, name: str, values: list[int]) -> ir.Value:
    constant = ir.Value(name=name, const_value=ir.tensor(values, ir.DataType.INT64))
    graph.register_initializer(constant)
    return constant


_DOWN: dict[str, Callable[[ir.Node, ir.Graph], None]] = {
    "Pad": _pad,
    "Split": _split,
    "Resize": _resize,
    "ScatterElements": _scatter,
    "ScatterND": _scatter,
    **{f"Reduce{name}": _reduction for name in _REDUCTIONS},
}
