"""Many sums of multilinear terms in the units that are left, evaluated at once."""

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
    """The elements of a tensor, each worth ``each``, by the indices left along what can shrink."""
    factors: list[Tensor] = []
    followed: set[int] = set()
    for track in labels.tracks:
        ids = track.ids.flatten()
        unit = units.unit_of[ids]
        # Where two followed dimensions were flattened into one, what both can lose is counted by the first.
        if bool(units.prunable[unit[unit >= 0]].any()) and followed.isdisjoint(track.dims):
            followed.update(track.dims)
            factors.append(ids)
    fixed = math.prod(size for dim, size in enumerate(labels.shape) if dim not in followed)
    return Product(each * fixed, tuple(factors))


class MultilinearTerms:
    """Terms ``count * n_1 * ... * n_k``, where ``n_i`` is how many indices are left along a coupled dimension.

    Units that shrink the same dimensions by as much are alike: they form a *class*, and all is computed per class.
    The channels of one layer are one class as a rule: there are hundreds of classes, not ten thousands of units.
    """

    def __init__(self, units: Units, products: Sequence[Product]) -> None:
        rank = max((len(product.factors) for product in products), default=0)
        self.counts = torch.tensor([product.count for product in products], dtype=torch.float64)
        self.left = torch.ones(len(products), rank, dtype=torch.float64)
        """Indices left along each factor of each term: (terms, rank); 1 where a term has fewer factors."""
        slots, lost = [torch.zeros(0, dtype=torch.long)], [torch.zeros(0, dtype=torch.long)]
        for term, product in enumerate(products):
            for axis, ids in enumerate(product.factors):
                self.left[term, axis] = len(ids)
                unit = units.unit_of[ids]
                lost.append(unit[unit >= 0])
                slots.append(torch.full_like(lost[-1], term * rank + axis))
        held, count = torch.unique(torch.stack([torch.cat(lost), torch.cat(slots)]), dim=1, return_counts=True)
        self.class_of, examples = _classes(len(units), held[0], held[1], count, self.left.numel())
        shown = examples[held[0]]
        classes, at, count = self.class_of[held[0][shown]], held[1][shown], count[shown]
        pairs, pair = torch.unique(classes * len(products) + at // max(rank, 1), return_inverse=True)
        self.pair_class, self.pair_term = pairs // max(len(products), 1), pairs % max(len(products), 1)
        """The class and the term of each pair that have to do with each other."""
        self.loss = torch.zeros(len(pairs), rank, dtype=torch.float64)
        """Indices that a unit of each pair's class takes from each factor of its term: (pairs, rank)."""
        self.loss[pair, at % max(rank, 1)] = count.double()
        self.classes = int(self.class_of.max()) + 1 if len(units) else 0

    def values(self) -> Tensor:
        """Each term now: (terms,)."""
        return self.counts * self.left.prod(-1)

    def taken(self, masks: Tensor) -> Tensor:
        """Indices that the units of each mask, (n, units), take from each factor: (n, terms, rank)."""
        many = torch.zeros(len(masks), self.classes, dtype=torch.float64).index_add_(1, self.class_of, masks.double())
        taken = torch.zeros(len(masks), *self.left.shape, dtype=torch.float64)
        return taken.index_add_(1, self.pair_term, many[:, self.pair_class, None] * self.loss)

    def lost(self) -> Tensor:
        """Decrease of the term of each pair when one unit of its class is removed: (pairs,)."""
        left = self.left[self.pair_term]
        return self.counts[self.pair_term] * (left.prod(1) - (left - self.loss).prod(1))

    def gained(self) -> Tensor:
        """Increase of the term of each pair when one unit of its class is put back: (pairs,)."""
        left = self.left[self.pair_term]
        return self.counts[self.pair_term] * ((left + self.loss).prod(1) - left.prod(1))

    def per_unit(self, values: Tensor) -> Tensor:
        """Values of pairs, (pairs,), added up for each unit: (units,)."""
        by_class = torch.zeros(self.classes, dtype=torch.float64).index_add(0, self.pair_class, values)
        return by_class[self.class_of]

    def shift(self, mask: Tensor, sign: float) -> None:
        """Take the units in ``mask`` away (-1) or put them back (+1)."""
        many = torch.bincount(self.class_of[mask], minlength=self.classes).double()
        self.left.index_add_(0, self.pair_term, sign * many[self.pair_class, None] * self.loss)

    def copy(self) -> MultilinearTerms:
        """The same state; what never changes is shared."""
        return self.at(self.left.clone())

    def at(self, left: Tensor) -> MultilinearTerms:
        """The same terms with other sizes ``left``, (terms, rank), or many of them at once, (n, terms, rank)."""
        twin = copy.copy(self)
        twin.left = left
        return twin


def _classes(size: int, unit: Tensor, slot: Tensor, count: Tensor, slots: int) -> tuple[Tensor, Tensor]:
    """The class of each unit, (units,), and a mask of one unit of each class, (units,).

    What a unit takes is compared by the sum of a random number for each factor of each term.
    """
    numbers = torch.randint(-(2**62), 2**62, (slots,), generator=torch.Generator().manual_seed(0))
    signature = torch.zeros(size, dtype=torch.long).index_add(0, unit, numbers[slot] * count)
    classes, class_of = torch.unique(signature, return_inverse=True)
    first = torch.full((len(classes),), size).scatter_reduce(0, class_of, torch.arange(size), "amin")
    examples = torch.zeros(size, dtype=torch.bool)
    examples[first] = True
    return class_of, examples
