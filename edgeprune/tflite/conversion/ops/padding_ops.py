"""Lowering of Pad with a constant or with existing elements."""

from __future__ import annotations

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor
from edgeprune.tflite.tflite_schema import schema

_NUMPY_MODES = {"reflect": "reflect", "edge": "edge", "wrap": "wrap"}


@lowering("Pad", layout="any")
def pad(node: Node, low: Lowering) -> None:
    """Lower Pad. Zero padding before a convolution is fused into it later if possible."""
    view = low.view(node.inputs[0])
    x, order = low.with_onnx_dims(view)
    pads = _pads(node, low, view.rank)[list(order)]
    mode = node.get("mode", "constant")
    if (pads < 0).any():
        x = _cut(low, x, pads)
        pads = np.maximum(pads, 0)
    if pads.any():
        if mode == "constant":
            x = _constant(node, low, x, pads)
        elif mode == "reflect" and (pads < np.array(x.shape)[:, None]).all():
            amount = low.constant("pads", pads.astype(np.int32))
            options = schema.MirrorPadOptionsT(mode=schema.MirrorPadMode.REFLECT)
            x = low.emit("MIRROR_PAD", [x, amount], _grown(x, pads), options)
        elif mode in _NUMPY_MODES:
            x = _gathered(low, x, pads, mode)
        else:
            raise node.unsupported(f"mode '{mode}'", f"constant, {', '.join(_NUMPY_MODES)}")
    low.write(node.outputs[0], LayoutView.of(x, order))


def _pads(node: Node, low: Lowering, rank: int) -> Array:
    """Return the padding before and after each dimension (rank, 2). Negative values crop."""
    amounts = low.array(node.inputs[1])
    axes = low.array(node.input(3)) if node.input(3) else np.arange(rank)
    if amounts is None or axes is None:
        raise node.unsupported("a padding that is computed", "constant")
    pads = np.zeros((rank, 2), np.int64)
    pads[axes % rank] = amounts.reshape(2, -1).T
    return pads


def _grown(x: Tensor, pads: Array) -> list[int]:
    return [size + int(sum(ends)) for size, ends in zip(x.shape, pads, strict=True)]


def _cut(low: Lowering, x: Tensor, pads: Array) -> Tensor:
    cuts = np.minimum(pads, 0)
    shape = _grown(x, cuts)
    begin = low.constant("begin", (-cuts[:, 0]).astype(np.int32))
    return low.emit("SLICE", [x, begin, low.constant("size", np.array(shape, np.int32))], shape)


def _constant(node: Node, low: Lowering, x: Tensor, pads: Array) -> Tensor:
    value = low.array(node.input(2)) if node.input(2) else np.zeros((), x.dtype)
    if value is None:
        raise node.unsupported("a value that is computed", "constant")
    amount = low.constant("pads", pads.astype(np.int32))
    if value.item() == 0:
        return low.emit("PAD", [x, amount], _grown(x, pads))
    return low.emit("PADV2", [x, amount, low.constant("value", value.reshape(1))], _grown(x, pads))


def _gathered(low: Lowering, x: Tensor, pads: Array, mode: str) -> Tensor:
    """Pad by gathering elements along each dimension, for modes that TFLite does not support."""
    for axis, ends in enumerate(pads):
        if ends.any():
            selection = np.pad(np.arange(x.shape[axis], dtype=np.int32), tuple(ends), mode=_NUMPY_MODES[mode])  # type: ignore[call-overload]
            shape = [len(selection) if index == axis else size for index, size in enumerate(x.shape)]
            x = low.emit("GATHER", [x, low.constant("indices", selection)], shape, schema.GatherOptionsT(axis=axis))
    return x
