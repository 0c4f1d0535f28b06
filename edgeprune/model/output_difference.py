"""Difference between the outputs of two variants of a network: one definition for every check."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree


def tensors(outputs: Any) -> list[Tensor]:
    """Return all tensors in the outputs of a network, in order; variants are compared by them."""
    return [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]


def distance(
    expected: Sequence[Tensor], actual: Sequence[Tensor], *, smallest: float = 0.0, nan_equal: bool = False
) -> float:
    """Return the largest relative error of any output.

    - Numbers: the largest difference over the largest finite magnitude of that output. Infinities of the same sign
      are equal.
    - Booleans and integers: the fraction of elements that differ.
    - Empty outputs: 0.

    Args:
        expected: Outputs of the reference.
        actual: Outputs of the variant.
        smallest: Lower bound of the magnitude that differences are divided by.
        nan_equal: Whether NaN equals NaN; otherwise the distance of NaN from every value is infinite.

    Returns:
        Distance of at least 0; infinite if number, shapes or types of outputs differ, or if only one side is finite.
    """
    if len(expected) != len(actual):
        return math.inf
    return max((_distance(*pair, smallest, nan_equal) for pair in zip(expected, actual, strict=True)), default=0.0)


def _distance(expected: Tensor, actual: Tensor, smallest: float, nan_equal: bool) -> float:
    if expected.shape != actual.shape or _is_discrete(expected) != _is_discrete(actual):
        return math.inf
    if not expected.numel():
        return 0.0
    if _is_discrete(expected):
        return float((expected != actual).double().mean())
    wide = torch.complex128 if expected.is_complex() or actual.is_complex() else torch.float64
    expected, actual = expected.detach().to(wide), actual.detach().to(wide)
    equal = expected == actual
    if nan_equal:
        equal |= expected.isnan() & actual.isnan()
    error = float((expected - actual).abs().masked_fill(equal, 0.0).max())
    magnitude = float(expected.abs().masked_fill(~expected.isfinite(), 0.0).max())
    return error / (max(smallest, magnitude) or 1.0) if math.isfinite(error) else math.inf


def _is_discrete(tensor: Tensor) -> bool:
    return not (tensor.is_floating_point() or tensor.is_complex())
