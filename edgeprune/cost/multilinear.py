"""Costs that are a sum over layers or tensors: multiply-adds, parameters, bytes of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from edgeprune.cost.base import CostModel
from edgeprune.cost.multilinear_terms import MultilinearTerms
from edgeprune.graph import Units
from edgeprune.graph.coupling import Product


class Multilinear(CostModel):
    """Sum of multilinear terms. The savings of all units are one vector expression."""

    def __init__(self, units: Units, products: Sequence[Product]) -> None:
        super().__init__(MultilinearTerms(units, products))

    def total(self) -> float:
        return float(self.terms.values().sum())

    def totals(self, remaining: Tensor) -> Tensor:
        return self.terms.at(remaining).values().sum(-1)

    def as_largest_sum(self) -> tuple[Tensor, float]:
        return torch.ones(1, len(self.terms.counts), dtype=torch.float64), 0.0

    def savings(self, limit: float = -math.inf) -> Tensor:
        return self.terms.per_unit(self.terms.decrease())

    def gains(self) -> Tensor:
        return self.terms.per_unit(self.terms.increase())


def macs(units: Units) -> Multilinear:
    """Return the multiply-adds of convolutions, linear layers and matrix products."""
    coupling = units.coordinates.coupling
    return Multilinear(units, [product for products in coupling.products.values() for product in products])


def params(units: Units, model: nn.Module) -> Multilinear:
    """Return the number of parameters. A parameter with several names is counted once."""
    ids_by_tensor: dict[str, dict[int, Tensor]] = {}
    for owner in units.coordinates.coupling.owners:
        if owner.parameter:
            ids_by_tensor.setdefault(owner.name, {})[owner.dim] = torch.arange(owner.start, owner.start + owner.size)
    return Multilinear(
        units, [_parameter(parameter, ids_by_tensor.get(name, {})) for name, parameter in model.named_parameters()]
    )


def _parameter(parameter: Tensor, ids_by_dim: Mapping[int, Tensor]) -> Product:
    fixed = math.prod(size for dim, size in enumerate(parameter.shape) if dim not in ids_by_dim)
    return Product(fixed, tuple(ids_by_dim.values()))
