"""Importers of Fourier transforms, as products with constant matrices, which are real numbers also where x is not."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray

from edgeprune.export.fourier_matrices import fourier_matrix, matrix_to_real
from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant

_AXIS_IS_INPUT = 20
"""First operator set in which the axis of DFT is an input."""


@importer("DFT")
def fourier_transform(node: SourceNode, net: NetworkBuilder) -> None:
    """Import DFT of (..., n, ..., 1) or (..., n, ..., 2), real numbers or complex ones."""
    value = net.value(0)
    inverse, onesided = bool(node.get("inverse", 0)), bool(node.get("onesided", 0))
    to_real = inverse and onesided
    rank, parts = len(value.shape), value.shape[-1]
    axis = (net.numbers(2) or [-2])[0] if node.opset >= _AXIS_IS_INPUT else int(node.get("axis", 1))
    axis %= rank
    size = value.shape[axis]
    [length] = net.numbers(1) or [2 * (size - 1) if to_real else size]
    used = min(length // 2 + 1 if to_real else length, size)
    if to_real:
        matrix = matrix_to_real(length)[:used]
    else:
        matrix = fourier_matrix(length, parts, onesided=onesided, inverse=inverse)[:used]
    if used < size:
        value = net.call(torch.narrow, value, axis, 0, used)
    rows = net.call(torch.flatten, net.call(torch.movedim, value, axis, rank - 2), rank - 2)
    result = net.call(torch.matmul, rows, _constant(node, matrix.reshape(used * parts, -1)))
    result = net.call(torch.unflatten, result, rank - 2, matrix.shape[2:])
    net.write(net.call(torch.movedim, result, rank - 2, axis))


@importer("STFT")
def short_time_fourier_transform(node: SourceNode, net: NetworkBuilder) -> None:
    """Import STFT of (N, L), (N, L, 1) or (N, L, 2) as a convolution with a kernel for each frequency."""
    value = net.value(0)
    if len(value.shape) == 2:
        value = net.call(torch.unsqueeze, value, 2)
    window = net.needed_constant(2, "a window").tensor if node.input(2) else None
    [step] = net.numbers(1) or [1]
    [length] = net.numbers(3) or [value.shape[1] if window is None else len(window)]
    matrix = fourier_matrix(length, value.shape[2], onesided=bool(node.get("onesided", 1)))
    if window is not None:
        matrix = matrix * window.numpy()[:, None, None, None]
    frequencies = matrix.shape[2:]
    kernel = _constant(node, matrix.transpose(2, 3, 1, 0).reshape(-1, value.shape[2], length))
    result = net.call(F.conv1d, net.call(torch.transpose, value, 1, 2), kernel, None, step)
    net.write(net.call(torch.unflatten, net.call(torch.transpose, result, 1, 2), 2, frequencies))


def _constant(node: SourceNode, matrix: NDArray[np.float64]) -> Constant:
    """Return a matrix that is not trained."""
    return Constant(torch.from_numpy(matrix.astype(np.float32)), f"{node.output(0)}_frequencies")
