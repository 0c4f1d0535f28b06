"""Multiply-adds and parameters as multilinear forms in the sizes of the coupled dimensions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeprune.cost.memory import peak_activation_bytes
from edgeprune.graph import Units
from edgeprune.graph.coupling import Product

COSTS = ("macs", "params")
"""Costs that a budget can name."""


@dataclass(frozen=True)
class Cost:
    """Costs of one network for the example input (for a batch of one: a sample).

    ``macs`` counts multiply-adds (FLOPs = 2 x MACs) of convolutions, linear layers and matrix products, attention's
    included. ``peak_activation_bytes`` is the largest sum of live tensors over the order of execution, without weights.
    """

    macs: int
    params: int
    peak_activation_bytes: int


class CostModel:
    """One cost of a network as a function of the units that are left.

    The cost is a sum of terms ``count * n_1 * ... * n_k``, where ``n_i`` is how many indices are left along a coupled
    dimension. What each unit saves, given what is gone already, is one vector expression over all terms.
    """

    def __init__(self, units: Units, products: Iterable[Product]) -> None:
        products = list(products)
        rank = max((len(product.factors) for product in products), default=0)
        self._size = len(units)
        self._counts = torch.tensor([product.count for product in products], dtype=torch.float64)
        self._left = torch.ones(len(products), rank, dtype=torch.float64)
        terms, members, losses = [], [], []
        for index, product in enumerate(products):
            held = torch.zeros(self._size, rank, dtype=torch.float64) if product.factors else None
            for at, ids in enumerate(product.factors):
                self._left[index, at] = len(ids)
                unit = units.unit_of[ids]
                assert held is not None
                held[:, at] = torch.bincount(unit[unit >= 0], minlength=self._size).double()
            if held is not None:
                touched = held.any(1).nonzero().flatten()
                terms.append(torch.full_like(touched, index))
                members.append(touched)
                losses.append(held[touched])
        empty = torch.zeros(0, dtype=torch.long)
        self._term = torch.cat([empty, *terms])
        self._unit = torch.cat([empty, *members])
        self._loss = torch.cat([torch.zeros(0, rank, dtype=torch.float64), *losses])

    def total(self) -> float:
        """The cost of what is left."""
        return float((self._counts * self._left.prod(1)).sum())

    def savings(self) -> Tensor:
        """What removing each unit alone would save now: float64 of shape (units,)."""
        left = self._left[self._term]
        saved = self._counts[self._term] * (left.prod(1) - (left - self._loss).prod(1))
        return torch.zeros(self._size, dtype=torch.float64).index_add(0, self._unit, saved)

    def gains(self) -> Tensor:
        """What putting each unit alone back would add now: float64 of shape (units,)."""
        left = self._left[self._term]
        added = self._counts[self._term] * ((left + self._loss).prod(1) - left.prod(1))
        return torch.zeros(self._size, dtype=torch.float64).index_add(0, self._unit, added)

    def remove(self, mask: Tensor) -> None:
        """Take the units in ``mask`` away; each unit at most once."""
        self._shift(mask, -1.0)

    def restore(self, mask: Tensor) -> None:
        """Put units that were removed back."""
        self._shift(mask, 1.0)

    def _shift(self, mask: Tensor, sign: float) -> None:
        hit = mask[self._unit]
        self._left.index_add_(0, self._term[hit], sign * self._loss[hit])

    @staticmethod
    def of(name: str, units: Units, model: nn.Module) -> CostModel:
        """The model of one of ``COSTS``."""
        return CostModel(units, _products(name, units, model))


def cost_of(units: Units, model: nn.Module, removed: Tensor | None = None) -> Cost:
    """Costs of dense ``model``, or of what is left of it when the units in the mask ``removed`` go."""
    gone = torch.zeros(len(units), dtype=torch.bool) if removed is None else removed
    totals = {}
    for name in COSTS:
        cost = CostModel.of(name, units, model)
        cost.remove(gone)
        totals[name] = round(cost.total())
    return Cost(totals["macs"], totals["params"], peak_activation_bytes(units, gone))


def _products(name: str, units: Units, model: nn.Module) -> list[Product]:
    coupling = units.coordinates.coupling
    if name == "macs":
        return [product for products in coupling.products.values() for product in products]
    assert name == "params", f"no such cost: {name}"
    along: dict[str, dict[int, Tensor]] = {}
    for owner in coupling.owners:
        if owner.parameter:
            along.setdefault(owner.name, {})[owner.dim] = torch.arange(owner.start, owner.start + owner.size)
    return [_elements(parameter, along.get(name, {})) for name, parameter in model.named_parameters()]


def _elements(parameter: Tensor, along: Mapping[int, Tensor]) -> Product:
    fixed = math.prod(size for dim, size in enumerate(parameter.shape) if dim not in along)
    return Product(fixed, tuple(along.values()))
