"""From opset 18, the lowest that the exporter on ``torch.export`` writes, down to 17, which every JetPack reads.

The ONNX project's own converter has no way down for most of what opset 18 changed. Those changes are few and move an
attribute to an input or back: https://github.com/onnx/onnx/blob/main/docs/Changelog.md#version-18-of-the-default-onnx-operator-set
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from edgeprune.export.exporters import ExportFailed

_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
_NEW_IN_18 = (
    "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "CenterCropPad", "Col2Im", "GroupNormalization", "Mish",
)  # fmt: skip


def version(model: ModelProto) -> int:
    """Opset of the default domain."""
    return next(int(entry.version) for entry in model.opset_import if entry.domain in ("", "ai.onnx"))


def lower(model: ModelProto, opset: int) -> None:
    """Bring ``model`` down to ``opset`` in place; does nothing where it is there already.

    Raises:
        ExportFailed: An operator of the model has no form in ``opset``.
    """
    if version(model) > opset:
        if (version(model), opset) != (18, 17):
            raise ExportFailed(f"the exporter wrote opset {version(model)}, which has no way down to {opset}")
        graph = _Graph(model)
        for node in model.graph.node:
            if node.op_type in _NEW_IN_18 and not node.domain:
                raise ExportFailed(f"{node.op_type} of node {node.name} came with opset 18")
            if node.op_type in _DOWN and not node.domain:
                _DOWN[node.op_type](node, graph)
    used = {node.domain for node in model.graph.node} | {""}
    imports = {entry.domain: int(entry.version) for entry in model.opset_import if entry.domain in used}
    imports[""] = min(imports[""], opset)
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, number) for domain, number in sorted(imports.items()))
    model.ir_version = helper.find_min_ir_version_for(list(model.opset_import))


class _Graph:
    """Constants and ranks of values by name."""

    def __init__(self, model: ModelProto) -> None:
        self._graph = model.graph
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Constant":
                self._constants.update((node.output[0], item.t) for item in node.attribute if item.name == "value")
        inferred = onnx.shape_inference.infer_shapes(model).graph
        self._shapes: dict[str, list[int]] = {
            value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]  # 0: open
            for value in (*inferred.value_info, *inferred.input, *inferred.output)
        }

    def integers(self, name: str, node: NodeProto) -> list[int]:
        if name not in self._constants:
            raise ExportFailed(f"{node.op_type} of node {node.name} has computed axes, which opset 17 does not allow")
        return [int(value) for value in numpy_helper.to_array(self._constants[name]).reshape(-1)]

    def rank(self, name: str, node: NodeProto) -> int:
        if name not in self._shapes:
            raise ExportFailed(f"{node.op_type} of node {node.name}: the rank of its input is not known")
        return len(self._shapes[name])

    def size(self, name: str, axis: int, node: NodeProto) -> int:
        if self.rank(name, node) == 0 or not self._shapes[name][axis]:
            raise ExportFailed(f"{node.op_type} of node {node.name}: the size of its input is not known")
        return self._shapes[name][axis]

    def add(self, name: str, values: list[int]) -> str:
        self._graph.initializer.append(numpy_helper.from_array(np.asarray(values, np.int64), name))
        return name


def _pad(node: NodeProto, graph: _Graph) -> None:
    """The list of padded axes is new in 18; before, all were padded."""
    if len(node.input) < 4 or not node.input[3]:
        return
    rank = graph.rank(node.input[0], node)
    axes, pads = graph.integers(node.input[3], node), graph.integers(node.input[1], node)
    full = [0] * (2 * rank)
    for position, axis in enumerate(axes):
        full[axis % rank] = pads[position]
        full[rank + axis % rank] = pads[len(axes) + position]
    node.input[1] = graph.add(f"{node.output[0]}_pads", full)
    del node.input[3:]
    while not node.input[-1]:
        del node.input[-1]


def _reduction(node: NodeProto, graph: _Graph) -> None:
    """The axes became an input in 18."""
    no_op = any(item.name == "noop_with_empty_axes" and item.i for item in node.attribute)
    axes = graph.integers(node.input[1], node) if len(node.input) > 1 and node.input[1] else []
    if no_op and not axes:
        raise ExportFailed(f"{node.op_type} of node {node.name} reduces nothing, which opset 17 cannot say")
    _drop(node, "noop_with_empty_axes")
    del node.input[1:]
    if axes:
        node.attribute.append(helper.make_attribute("axes", axes))


def _split(node: NodeProto, graph: _Graph) -> None:
    """A count of parts, the last of which may be smaller, is new in 18; before, unequal parts had to be listed."""
    if any(item.name == "num_outputs" for item in node.attribute):
        axis = next((item.i for item in node.attribute if item.name == "axis"), 0)
        length, parts = graph.size(node.input[0], axis, node), len(node.output)
        part = -(-length // parts)
        sizes = [part] * (parts - 1) + [length - part * (parts - 1)]
        del node.input[1:]
        node.input.append(graph.add(f"{node.output[0]}_sizes", sizes))
        _drop(node, "num_outputs")


def _resize(node: NodeProto, _graph: _Graph) -> None:
    """Antialiasing and a choice of axes are new in 18."""
    for item in node.attribute:
        if item.name in ("antialias", "axes") and (item.i or item.ints):
            raise ExportFailed(f"Resize of node {node.name} has {item.name}, which came with opset 18")
    _drop(node, "antialias", "keep_aspect_ratio_policy")


def _scatter(node: NodeProto, _graph: _Graph) -> None:
    """Reductions by minimum and maximum are new in 18."""
    if any(item.name == "reduction" and item.s in (b"max", b"min") for item in node.attribute):
        raise ExportFailed(f"{node.op_type} of node {node.name} takes maxima or minima, which came with opset 18")


def _drop(node: NodeProto, *names: str) -> None:
    kept = [item for item in node.attribute if item.name not in names]
    del node.attribute[:]
    node.attribute.extend(kept)


_DOWN: dict[str, Callable[[NodeProto, _Graph], None]] = {
    "Pad": _pad,
    "Split": _split,
    "Resize": _resize,
    "ScatterElements": _scatter,
    "ScatterND": _scatter,
    **{f"Reduce{name}": _reduction for name in _REDUCTIONS},
}
