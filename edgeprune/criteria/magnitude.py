"""Criteria by the magnitude of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from edgeprune.criteria.base import OPTIONS, Aggregate, Aggregated, Network, Normalize, register


def filters(network: Network, tensors: Mapping[str, Tensor] | None = None) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the unit of each filter, (n,), and the filters as rows, (n, elements), for each layer that produces units.

    ``tensors`` replace the weights and have their names and shapes. They default to the weights of the network.
    """
    units = network.units
    producers = {(member.tensor, member.dim) for group in units.groups for member in group.producers}
    state = dict(network.model.named_parameters(remove_duplicate=False)) if tensors is None else tensors
    for owner in units.coordinates.coupling.owners:
        if (owner.name, owner.dim) in producers and owner.name in state:
            unit = units.unit_of[owner.start : owner.start + owner.size]
            yield unit, state[owner.name].detach().movedim(owner.dim, 0).reshape(owner.size, -1)


class _Magnitude(Aggregated):
    """Norm of each filter ``(out_ch, in_ch, kh, kw)[i]``, aggregated over the layers that produce a unit."""

    def _score(self, network: Network, size: Callable[[Tensor], Tensor]) -> Tensor:
        parts = ((unit, size(rows.float())) for unit, rows in filters(network))
        return self._together(network.units, parts)


@register
class L1(_Magnitude):
    """Sum of the absolute weights of each filter, over the mean of its layer. Li et al., "Pruning Filters" (2017)."""

    name = "l1"

    def score(self, network: Network) -> Tensor:
        return self._score(network, lambda rows: rows.abs().sum(1))


@register
class L2(_Magnitude):
    """Euclidean norm of each filter, over the mean norm of its layer. After Li et al. (2017), with L2 for their L1."""

    name = "l2"

    def score(self, network: Network) -> Tensor:
        return self._score(network, lambda rows: torch.linalg.vector_norm(rows, dim=1))


@register
class L0(_Magnitude):
    """Number of weights of each filter whose magnitude is above ``threshold`` times the largest of its layer.

    Hu et al. (2016) count activations in the same way.
    """

    name = "l0"

    def __init__(self, threshold: float = 0.05, aggregate: Aggregate = "sum", normalize: Normalize = "mean") -> None:
        super().__init__(aggregate, normalize)
        self._threshold = OPTIONS.number("threshold", threshold, least=0, below=1)

    def score(self, network: Network) -> Tensor:
        return self._score(network, lambda rows: (rows.abs() > self._threshold * rows.abs().max()).sum(1).float())
