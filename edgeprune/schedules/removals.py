"""Removals of units from one network, in order, and what they leave of its tensors."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass

from torch import Tensor

from edgeprune.graph.rewrite import Kept, slice_tensor

State = Mapping[str, Tensor]
"""Tensors of a network by name, as ``state_dict`` gives them."""


@dataclass(frozen=True)
class Snapshot:
    """Weights of a moment, and how often units had been removed by then."""

    state: State
    removals: int


class Removals:
    """Removals from one network; each has the indices that it kept, in the network before it."""

    def __init__(self) -> None:
        self._removals: list[Kept] = []

    def __len__(self) -> int:
        return len(self._removals)

    def add(self, kept: Kept) -> None:
        """Add a removal."""
        self._removals.append(kept)

    def kept(self, names: Container[str]) -> dict[str, dict[int, Tensor]]:
        """Remaining indices of the tensors called ``names``, by dimension, in the network before all removals."""
        composed: dict[str, dict[int, Tensor]] = {}
        for removal in self._removals:
            for name, dims in removal.items():
                if name in names:
                    own = composed.setdefault(name, {})
                    for dim, index in dims.items():
                        own[dim] = own[dim][index] if dim in own else index
        return composed

    def sliced(self, state: State, *, since: int) -> State:
        """``state``, of the network after the first ``since`` removals, as the others leave it."""
        small = dict(state)
        for removal in self._removals[since:]:
            for name, dims in removal.items():
                if name in small:
                    small[name] = slice_tensor(small[name], dims)
        return small


def scaled_to_inputs(dense: State, small: State) -> State:
    """Weights of ``dense``, scaled by the square root of how much fewer inputs each filter has in ``small``.

    Initial weights are drawn with a spread that follows from the number of inputs (He et al., "Delving Deep into
    Rectifiers", 2015).
    """
    scaled = {}
    for name, tensor in dense.items():
        scaled[name] = tensor
        if tensor.ndim > 1 and name in small:
            inputs, remaining = tensor[0].numel(), small[name][0].numel()
            scaled[name] = tensor * math.sqrt(inputs / remaining)
    return scaled


def copied(state: State) -> State:
    """``state`` with tensors of its own."""
    return {name: tensor.detach().clone() for name, tensor in state.items()}
