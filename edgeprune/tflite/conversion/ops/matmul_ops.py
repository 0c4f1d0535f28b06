"""Lowerings of matrix products. With constant weights, they become fully connected layers for any input order."""

from __future__ import annotations

from math import prod

import numpy as np

from edgeprune.tflite.conversion.layout_views import LayoutView, identity
from edgeprune.tflite.conversion.lowering import Lowering
from edgeprune.tflite.conversion.onnx_graph import Node
from edgeprune.tflite.conversion.ops.base import lowering
from edgeprune.tflite.conversion.ops.view_operators import elementwise
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor
from edgeprune.tflite.tflite_schema import schema


@lowering("Gemm")
def gemm(node: Node, low: Lowering) -> None:
    """Lower Gemm, ``alpha * A @ B + beta * C``."""
    left, right = low.view(node.inputs[0]), low.view(node.inputs[1])
    if node.get("transA", 0):
        left = left.transposed((1, 0))
    if node.get("transB", 0):
        right = right.transposed((1, 0))
    alpha, beta = np.float32(node.get("alpha", 1.0)), np.float32(node.get("beta", 1.0))
    weights = low.array(node.inputs[1])
    addend = low.array(node.input(2)) if node.input(2) else None
    if weights is not None:
        matrix = alpha * (weights.T if node.get("transB", 0) else weights)
        bias = None if addend is None else _as_bias(beta * addend, matrix.shape[1])
        result = fully_connected(low, left, matrix, bias)
    else:
        bias = None
        result = matrix_product(low, left, right)
        if alpha != 1:
            result = elementwise(low, "MUL", result, float(alpha))
    if node.input(2) and bias is None:
        term = low.view(node.inputs[2])
        if beta != 1:
            term = elementwise(low, "MUL", term, float(beta))
        result = elementwise(low, "ADD", result, term)
    low.write(node.outputs[0], result)


@lowering("MatMul")
def matmul(node: Node, low: Lowering) -> None:
    left, right = low.view(node.inputs[0]), low.view(node.inputs[1])
    weights = low.array(node.inputs[1])
    if weights is not None and weights.ndim == 2 and left.rank > 1:
        result = fully_connected(low, left, weights, None)
    else:
        rows = left if left.rank > 1 else low.reshaped(left, (1, *left.shape))
        columns = right if right.rank > 1 else low.reshaped(right, (*right.shape, 1))
        result = matrix_product(low, rows, columns)
    low.write(node.outputs[0], low.reshaped(result, low.source.shapes[node.outputs[0]]))


def fully_connected(low: Lowering, x_view: LayoutView, matrix: Array, bias: Array | None) -> LayoutView:
    """Multiply ``x_view`` (..., in) by ``matrix`` (in, out).

    The input may be stored in any order in which the summed dimension is last. The weights are permuted to this order.
    The operator flattens its input, so it needs no RESHAPE.
    """
    summed = x_view.dims[-1]
    first = len(x_view.factors) - len(summed)
    if sorted(summed) != list(range(first, len(x_view.factors))):
        x_view = LayoutView.of(low.arranged(x_view, identity(x_view.rank)))
        summed = x_view.dims[-1]
        first = len(x_view.factors) - len(summed)
    inner, out = matrix.shape
    spread = matrix.T.reshape(out, *(x_view.factors[factor] for factor in summed))
    order = sorted(range(len(summed)), key=summed.__getitem__)
    weights = spread.transpose(0, *(1 + dimension for dimension in order)).reshape(out, inner)
    x = x_view.tensor
    keep = x_view.rank > 2 and x.shape[-1:] == (inner,)
    shape = (*x.shape[:-1], out) if keep else (prod(x_view.shape[:-1]), out)
    inputs = [x, low.constant("weights", weights), None if bias is None else low.constant("bias", bias)]
    y = low.emit("FULLY_CONNECTED", inputs, shape, schema.FullyConnectedOptionsT(keepNumDims=keep))
    outer = x_view.factors[:first]
    return LayoutView(y, (*outer, out) if out > 1 else outer, (*x_view.dims[:-1], (first,) if out > 1 else ()))


def _as_bias(addend: Array, columns: int) -> Array | None:
    """Convert an addend to a bias for each column; None if its rows differ."""
    if addend.size != 1 and addend.shape != (*(1,) * (addend.ndim - 1), columns):
        return None
    return np.broadcast_to(addend.reshape(-1), columns)


def matrix_product(low: Lowering, left: LayoutView, right: LayoutView) -> LayoutView:
    """Multiply two computed batches of matrices."""
    rows, adj_x = _matrices(low, left)
    columns, adj_y = _matrices(low, right)
    shape = (*np.broadcast_shapes(left.shape[:-2], right.shape[:-2]), left.shape[-2], right.shape[-1])
    return LayoutView.of(
        low.emit("BATCH_MATMUL", [rows, columns], shape, schema.BatchMatMulOptionsT(adjX=adj_x, adjY=adj_y))
    )


def _matrices(low: Lowering, view: LayoutView) -> tuple[Tensor, bool]:
    """Return a tensor with the matrices last, and whether they are transposed because that needs fewer moves."""
    straight = identity(view.rank)
    swapped = (*straight[:-2], straight[-1], straight[-2])
    stored = [[factor for dim in order for factor in view.dims[dim]] for order in (straight, swapped)]
    if stored[0] != sorted(stored[0]) and (stored[1] == sorted(stored[1]) or stored[1][-1:] == [len(view.factors) - 1]):
        return low.arranged(view, swapped), True
    return low.arranged(view, straight), False
