"""Lowerings of DFT and STFT to layers with constant weights."""

from __future__ import annotations

import numpy as np

from edgeprune.export.fourier_matrices import fourier_matrix, matrix_to_real
from edgeprune.tflite.conversion.layout_views import LayoutView
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.matmul_ops import fully_connected
from edgeprune.tflite.conversion.ops.view_operators import sliced
from edgeprune.tflite.tflite_schema import schema

_AXIS_IS_INPUT = 20
"""First operator set in which the axis is an input."""


@lowering("DFT")
def fourier_transform(node: Node, low: Lowering) -> None:
    """Lower DFT of (..., n, ..., 1) or (..., n, ..., 2), real numbers or complex ones, to a fully connected layer."""
    view = low.view(node.inputs[0])
    inverse, onesided = bool(node.get("inverse", 0)), bool(node.get("onesided", 0))
    axis = _number(node, low, 2, -2) if low.source.opset >= _AXIS_IS_INPUT else node.get("axis", 1)
    axis %= view.rank
    size, to_real = view.shape[axis], inverse and onesided
    length = _number(node, low, 1, 2 * (size - 1) if to_real else size)
    used = min(length // 2 + 1 if to_real else length, size)
    others = [dim for dim in range(view.rank - 1) if dim != axis]
    order = [*others, axis, view.rank - 1]
    ordered = sliced(low, view, {axis: range(used)}).transposed(order)
    if to_real:
        matrix = matrix_to_real(length)[:used]
    else:
        matrix = fourier_matrix(length, view.shape[-1], onesided=onesided, inverse=inverse)[:used]
    outer = ordered.shape[:-2]
    rows = low.reshaped(ordered, (*outer, used * view.shape[-1]))
    product = fully_connected(low, rows, matrix.reshape(rows.shape[-1], -1).astype(np.float32), None)
    result = low.reshaped(product, (*outer, *matrix.shape[2:]))
    low.write(node.outputs[0], result.transposed([order.index(dim) for dim in range(view.rank)]))


@lowering("STFT")
def short_time_fourier_transform(node: Node, low: Lowering) -> None:
    """Lower STFT of (N, L, 1) or (N, L, 2) to a convolution with a kernel for each frequency."""
    view = low.view(node.inputs[0])
    batch, size, parts = view.shape[0], view.shape[1], view.shape[2] if view.rank == 3 else 1
    step = _number(node, low, 1, 1)
    window = low.array(node.inputs[2]) if node.input(2) else None
    if node.input(2) and window is None:
        raise node.unsupported("a window that is computed", "constant")
    length = _number(node, low, 3, size if window is None else len(window))
    if "onesided" not in node.attributes:  # ONNX's shape inference takes it as 0, its runtime as 1
        raise node.unsupported("no attribute 'onesided'", "stated as 0 or 1")
    matrix = fourier_matrix(length, parts, onesided=bool(node.get("onesided")))
    if window is not None:
        matrix = matrix * window[:, None, None, None]
    frequencies = matrix.shape[2]
    kernel = matrix.transpose(2, 3, 0, 1).reshape(2 * frequencies, 1, length, parts).astype(np.float32)
    frames = (size - length) // step + 1
    x = low.arranged(view, range(view.rank), (batch, 1, size, parts))
    options = schema.Conv2DOptionsT(padding=schema.Padding.VALID, strideH=1, strideW=step)
    bias = low.constant("bias", np.zeros(2 * frequencies, np.float32))
    y = low.emit("CONV_2D", [x, low.constant("weights", kernel), bias], (batch, 1, frames, 2 * frequencies), options)
    low.write(node.outputs[0], low.reshaped(LayoutView.of(y), (batch, frames, frequencies, 2)))


def _number(node: Node, low: Lowering, index: int, default: int) -> int:
    """Return an input that is a constant number."""
    if not node.input(index):
        return default
    value = low.array(node.inputs[index])
    if value is None:
        raise node.unsupported(f"a computed input '{node.inputs[index]}'", "constant")
    return int(value.item())
