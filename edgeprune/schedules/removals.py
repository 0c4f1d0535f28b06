"""Removals of units from one network in order, and the remaining indices of its tensors."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass

from torch import Tensor

from edgeprune.graph.rewrite import KeptIndices, slice_tensor

State = Mapping[str, Tensor]
"""Tensors of a network by name, as ``state_dict`` returns them."""


@dataclass(frozen=True)
class Snapshot:
    """Copy of the weights at one time, and the number of removals before it."""

    state: State
    removals: int


class Removals:
    """Removals from one network, each as the indices that it kept in the network before it."""

    def __init__(self) -> None:
        self._removals: list[KeptIndices] = []

    def __len__(self) -> int:
        return len(self._removals)

    def add(self, kept_indices: KeptIndices) -> None:
        """Add a removal."""
        self._removals.append(kept_indices)

    def kept_indices(self, names: Container[str]) -> dict[str, dict[int, Tensor]]:
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
        """Return ``state``, of the network after the first ``since`` removals, sliced by the later removals."""
        small = dict(state)
        for removal in self._removals[since:]:
            for name, dims in removal.items():
                if name in small:
                    small[name] = slice_tensor(small[name], dims)
        return small


def scaled_to_inputs(dense: State, small: State) -> State:
    """Return the weights of ``dense``, scaled by the square root of the ratio of inputs of each filter to ``small``.

    The spread of initial weights depends on the number of inputs (He et al., "Delving Deep into
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
    """Return a deep copy of ``state`` without gradients."""
    return {name: tensor.detach().clone() for name, tensor in state.items()}
