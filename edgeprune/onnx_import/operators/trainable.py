"""The rule that decides whether a constant of arithmetic is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.traced_values import Constant, Value

_MASK_VALUES = 2


def trainable(
    net: NetworkBuilder, operand: Value | Constant, other: Value | Constant | None = None
) -> Value | Constant | nn.Parameter:
    """Return a factor or summand: a parameter if it can be trained, otherwise ``operand``, which becomes a buffer.

    A float constant of several elements is a scale, a bias or an embedding of positions, and is trained. It is not
    trained if it is a mask, or if ``other`` is computed from the inputs without weights, as in the normalization of
    images by mean and deviation.
    """
    if isinstance(operand, Value) or not operand.dtype.is_floating_point or operand.tensor.numel() == 1:
        return operand
    if _is_mask(operand.tensor) or isinstance(other, Constant) or (other is not None and other.is_raw):
        return operand
    parameter: nn.Parameter = net.parameter(operand)
    return parameter


def trainable_sample(net: NetworkBuilder, operand: Value | Constant) -> Value | Constant | nn.Parameter:
    """Return a value that is repeated for each sample: a class token is trained, but not zeros or equal numbers."""
    is_token = isinstance(operand, Constant) and len(torch.unique(operand.tensor)) > 1
    return trainable(net, operand) if is_token else operand


def number(operand: Value | Constant, other: Value | Constant) -> float | None:
    """Return a constant of one element as a number if it does not change the rank and the type of the result."""
    if not isinstance(operand, Constant) or isinstance(other, Constant) or operand.tensor.numel() != 1:
        return None
    if operand.tensor.ndim > len(other.shape) or operand.dtype != other.dtype or operand.dtype == torch.bool:
        return None
    value: float = operand.tensor.item()
    return value


def _is_mask(tensor: Tensor) -> bool:
    """Return whether a tensor has infinite values, or at most two different values in two dimensions or more."""
    if not bool(torch.isfinite(tensor).all()):
        return True
    return sum(size > 1 for size in tensor.shape) > 1 and len(torch.unique(tensor)) <= _MASK_VALUES
