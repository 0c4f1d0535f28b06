"""Vectorized evaluation of multilinear terms in the numbers of remaining units."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from edgeprune.graph import Units
from edgeprune.graph.coupling import Product
from edgeprune.graph.index_labels import Labels


def elements(units: Units, labels: Labels, each: int = 1) -> Product:
    """Return the number of elements of a tensor, times ``each``, as a product over its prunable dimensions."""
    factors: list[Tensor] = []
    followed: set[int] = set()
    for track in labels.tracks:
        ids = track.ids.flatten()
        unit = units.unit_of[ids]
        # If two tracked dimensions were flattened into one, only the first is counted.
        if bool(units.prunable[unit[unit >= 0]].any()) and followed.isdisjoint(track.dims):
            followed.update(track.dims)
            factors.append(ids)
    fixed = math.prod(size for dim, size in enumerate(labels.shape) if dim not in followed)
    return Product(each * fixed, tuple(factors))


class MultilinearTerms:
    """Terms ``count * n_1 * ... * n_k``, where ``n_i`` is the number of remaining indices of a coupled dimension.

    Units that shrink the same dimensions by the same amounts form a *class*, and computations are per class. Usually,
    the channels of one layer are one class, so there are hundreds of classes instead of tens of thousands of units.
    """

    def __init__(self, units: Units, products: Sequence[Product]) -> None:
        rank = max((len(product.factors) for product in products), default=0)
        self.counts = torch.tensor([product.count for product in products], dtype=torch.float64)
        self.remaining = torch.ones(len(products), rank, dtype=torch.float64)
        """Remaining indices of each factor of each term, (terms, rank). 1 if a term has fewer factors."""
        slots, units_of_slots = [torch.zeros(0, dtype=torch.long)], [torch.zeros(0, dtype=torch.long)]
        for term, product in enumerate(products):
            for axis, ids in enumerate(product.factors):
                self.remaining[term, axis] = len(ids)
                unit = units.unit_of[ids]
                units_of_slots.append(unit[unit >= 0])
                slots.append(torch.full_like(units_of_slots[-1], term * rank + axis))
        factors = max(self.remaining.numel(), 1)
        # One number for both, because torch.unique over columns is many times slower.
        unit_and_slot, count = torch.unique(torch.cat(units_of_slots) * factors + torch.cat(slots), return_counts=True)
        unit, slot = unit_and_slot // factors, unit_and_slot % factors
        self.class_of, examples = _classes(len(units), unit, slot, count, self.remaining.numel())
        is_example = examples[unit]
        classes, at, count = self.class_of[unit[is_example]], slot[is_example], count[is_example]
        pairs, pair = torch.unique(classes * len(products) + at // max(rank, 1), return_inverse=True)
        self.pair_class, self.pair_term = pairs // max(len(products), 1), pairs % max(len(products), 1)
        """Class and term of each pair of a class and a term that depends on it, (pairs,)."""
        self.loss = torch.zeros(len(pairs), rank, dtype=torch.float64)
        """Indices that one unit of the class of each pair removes from each factor of the term, (pairs, rank)."""
        self.loss[pair, at % max(rank, 1)] = count.double()
        self.classes = int(self.class_of.max()) + 1 if len(units) else 0

    def values(self) -> Tensor:
        """Return the current value of each term, (terms,)."""
        return self.counts * self.remaining.prod(-1)

    def reduction(self, masks: Tensor) -> Tensor:
        """Return the indices that the units of each mask remove from each factor, (n, units) -> (n, terms, rank)."""
        many = torch.zeros(len(masks), self.classes, dtype=torch.float64).index_add_(1, self.class_of, masks.double())
        reduction = torch.zeros(len(masks), *self.remaining.shape, dtype=torch.float64)
        return reduction.index_add_(1, self.pair_term, many[:, self.pair_class, None] * self.loss)

    def decrease(self) -> Tensor:
        """Return the decrease of the term of each pair by removal of one unit of its class, (pairs,)."""
        remaining = self.remaining[self.pair_term]
        return self.counts[self.pair_term] * (remaining.prod(1) - (remaining - self.loss).prod(1))

    def increase(self) -> Tensor:
        """Return the increase of the term of each pair by restoration of one unit of its class, (pairs,)."""
        remaining = self.remaining[self.pair_term]
        return self.counts[self.pair_term] * ((remaining + self.loss).prod(1) - remaining.prod(1))

    def per_unit(self, values: Tensor) -> Tensor:
        """Return the sum of the values of pairs for each unit, (pairs,) -> (units,)."""
        by_class = torch.zeros(self.classes, dtype=torch.float64).index_add(0, self.pair_class, values)
        return by_class[self.class_of]

    def shift(self, mask: Tensor, sign: float) -> None:
        """Remove (``sign`` -1) or restore (+1) the units in ``mask``, (units,)."""
        many = torch.bincount(self.class_of[mask], minlength=self.classes).double()
        self.remaining.index_add_(0, self.pair_term, sign * many[self.pair_class, None] * self.loss)

    def copy(self) -> MultilinearTerms:
        """Return an independent copy of the state. Constant data is shared."""
        return self.at(self.remaining.clone())

    def at(self, remaining: Tensor) -> MultilinearTerms:
        """Return the same terms with other sizes ``remaining``, (terms, rank), or with many sizes, (n, terms, rank)."""
        twin = copy.copy(self)
        twin.remaining = remaining
        return twin


def _classes(size: int, unit: Tensor, slot: Tensor, count: Tensor, slots: int) -> tuple[Tensor, Tensor]:
    """Return the class of each unit, (units,), and a mask of one unit of each class, (units,).

    Units are compared by a hash: the sum of a random number for each factor of each term, times the removed indices.
    """
    numbers = torch.randint(-(2**62), 2**62, (slots,), generator=torch.Generator().manual_seed(0))
    signature = torch.zeros(size, dtype=torch.long).index_add(0, unit, numbers[slot] * count)
    classes, class_of = torch.unique(signature, return_inverse=True)
    first = torch.full((len(classes),), size).scatter_reduce(0, class_of, torch.arange(size), "amin")
    examples = torch.zeros(size, dtype=torch.bool)
    examples[first] = True
    return class_of, examples
