"""Adaptive average pooling as products with constant matrices, where ONNX has no counterpart of it.

ONNX has pooling with one size of window. Adaptive pooling of 8 to 3 positions has windows of different sizes, which the
exporters refuse or write as a gather of every element. Tracing of PyTorch runs in this context.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_RANKS: dict[Callable[..., Any], int] = {
    function: rank
    for rank, functions in {
        1: (functional.adaptive_avg_pool1d, torch.ops.aten.adaptive_avg_pool1d.default),
        2: (functional.adaptive_avg_pool2d, torch.ops.aten.adaptive_avg_pool2d.default),
        3: (functional.adaptive_avg_pool3d, torch.ops.aten.adaptive_avg_pool3d.default),
    }.items()
    for function in functions
}


class ComposedPooling(TorchFunctionMode):
    """Context in which adaptive average pooling with windows of different sizes is computed by matrix products."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        pooled = None
        if func in _RANKS:
            pooled = _pooled(_RANKS[func], *args, **kwargs)
        elif func is functional.interpolate:
            pooled = _area(*args, **kwargs)
        return func(*args, **kwargs) if pooled is None else pooled


def _area(
    input: Tensor,  # noqa: A002
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    **_: Any,
) -> Tensor | None:
    """Return ``input`` resized with the mode ``area``, which is adaptive pooling; None for other arguments."""
    if mode != "area" or (size is None and scale_factor is None):
        return None
    rank = input.ndim - 2
    if size is None:
        factors = [scale_factor] * rank if isinstance(scale_factor, (int, float)) else list(scale_factor or ())
        size = [int(int(old) * factor) for old, factor in zip(input.shape[2:], factors, strict=True)]
    return _pooled(rank, input, size)


def _pooled(rank: int, input: Tensor, output_size: int | Sequence[int | None]) -> Tensor | None:  # noqa: A002
    """Return ``input``, (..., sizes), pooled over its last ``rank`` dimensions; None if all windows have one size."""
    sizes = [int(size) for size in input.shape[-rank:]]
    requested = [output_size] * rank if isinstance(output_size, int) else list(output_size)
    targets = [size if target is None else target for size, target in zip(sizes, requested, strict=True)]
    if all(size % target == 0 for size, target in zip(sizes, targets, strict=True)):
        return None
    for dim, (size, target) in enumerate(zip(sizes, targets, strict=True), start=-rank):
        if size != target:
            matrix = _window_means(size, target).to(input.dtype)
            input = torch.matmul(input.transpose(dim, -1), matrix).transpose(dim, -1)  # noqa: A001
    return input


def _window_means(size: int, target: int) -> Tensor:
    """Return the matrix, (size, target), with the weight of each position in the mean of each window.

    numpy computes it, so that tracing records only the result.
    """
    matrix = np.zeros((size, target), np.float32)
    for index in range(target):
        start, end = index * size // target, -(-(index + 1) * size // target)
        matrix[start:end, index] = 1 / (end - start)
    return torch.from_numpy(matrix)
