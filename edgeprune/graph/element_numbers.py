"""Tensors of element numbers, on which calls that move data are run to see where each element ends up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from edgeprune.graph.index_labels import FIRST
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules import Keep
from edgeprune.graph.rules.data_movement import move


def moves_right(call: Call, changed: Mapping[str, Any], source: Keep, out: Sequence[Keep]) -> bool:
    """Return whether the call with ``changed`` arguments moves exactly the remaining elements to their positions."""
    labels = call.tensor(call.first)
    elements = numbered(labels.shape)
    dense = move(call, elements)
    try:
        small = move(call, select(elements, source), changed)
    except (RuntimeError, IndexError, ValueError):
        return False
    assert dense is not None
    assert small is not None
    return len(dense) == len(small) and all(
        torch.equal(select(part, mask), actual) for part, mask, actual in zip(dense, out, small, strict=True)
    )


def along_one(source: Tensor, shape: tuple[int, ...]) -> tuple[int, Tensor] | None:
    """Return the dimension and indices of an ``index_select`` that reads the flat positions ``source``, or None."""
    if source.ndim != len(shape):
        return None
    selection = None
    for dim, at in enumerate(torch.unravel_index(source, shape)):
        line = at.movedim(dim, 0).flatten(1)[:, 0]
        if not bool((at.movedim(dim, 0).flatten(1) == line[:, None]).all()):
            return None
        if len(line) != shape[dim] or not torch.equal(line, torch.arange(len(line))):
            if selection is not None:
                return None
            selection = dim, line
    return selection


def numbered(shape: tuple[int, ...]) -> Tensor:
    """Return a tensor of ``shape`` whose elements are distinct, and distinct from constants."""
    return torch.arange(FIRST, FIRST + math.prod(shape)).reshape(shape)


def select(tensor: Tensor, keep: Keep) -> Tensor:
    """Return ``tensor`` with the indices in the masks ``keep``."""
    for dim, mask in keep.items():
        tensor = tensor.index_select(dim, mask.nonzero().flatten())
    return tensor
