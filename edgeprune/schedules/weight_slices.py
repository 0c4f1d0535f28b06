"""Vectorized operations on the parameter slices that belong to units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from edgeprune.schedules.scaling_parameters import ScalingParameter


class WeightSlices:
    """Slices of the parameters of ``model``: one for each index of each of ``places``, with its unit.

    Values of slices are *flat*: one number for each slice, place after place, float32 (slices,). All operations use a
    few operators for each parameter, independent of the number of units.

    Attributes:
        count: Number of units.
        names: State-dict names of the parameters, each once.
        parameters: Parameters, in the order of ``names``.
        unit: Unit of each slice, flat; ``count`` for slices without a unit.
        place: Index in ``places`` of each slice, flat.
    """

    def __init__(self, model: nn.Module, count: int, places: Iterable[ScalingParameter]) -> None:
        named = dict(model.named_parameters(remove_duplicate=False))
        dims_by_tensor: dict[int, tuple[str, dict[int, Tensor]]] = {}
        for place in places:
            _, dims = dims_by_tensor.setdefault(id(named[place.name]), (place.name, {}))
            units_of_dim = dims.get(place.dim, place.units)
            dims[place.dim] = torch.where(units_of_dim >= 0, units_of_dim, place.units)
        self.count = count
        self.names = [name for name, _ in dims_by_tensor.values()]
        self.parameters = [named[name] for name in self.names]
        self.device = self.parameters[0].device if dims_by_tensor else torch.device("cpu")
        self._dims = [tuple(dims) for _, dims in dims_by_tensor.values()]
        units = [unit for _, dims in dims_by_tensor.values() for unit in dims.values()]
        self._sizes = [len(unit) for unit in units]
        unit = torch.cat([torch.zeros(0, dtype=torch.long), *units])
        self.unit = torch.where(unit >= 0, unit, count).to(self.device)
        self.place = torch.repeat_interleave(torch.arange(len(units)), torch.tensor(self._sizes, dtype=torch.long))
        self.place = self.place.to(self.device)

    def of_units(self, values: Tensor, default: float = 1.0) -> Tensor:
        """Return the value of each slice's unit, flat; ``default`` for slices without a unit."""
        values = values.to(self.device, torch.float32)
        return torch.cat([values, values.new_full((1,), default)])[self.unit]

    def sums(self, flat: Tensor) -> Tensor:
        """Return the sum over the slices of each unit, (units,)."""
        return flat.new_zeros(self.count + 1).index_add_(0, self.unit, flat)[:-1]

    def means(self, flat: Tensor) -> Tensor:
        """Return the mean over the place of each slice, flat."""
        places = torch.zeros(len(self._sizes), device=self.device).index_add_(0, self.place, flat)
        return (places / torch.bincount(self.place, minlength=len(self._sizes)))[self.place]

    def reduce(self, tensors: Sequence[Tensor | None], factors: Tensor | None = None) -> Tensor:
        """Return the sum of ``tensors``, shaped like the parameters, over each slice, flat; None means zeros.

        If slices cross, each is multiplied by the ``factors``, flat, of the other before the sum.
        """
        parts: list[Tensor] = []
        spread = [[] for _ in tensors] if factors is None else self._spread(factors)
        for parameter, tensor, dims, spread_of_tensor in zip(self.parameters, tensors, self._dims, spread, strict=True):
            for at, dim in enumerate(dims):
                if tensor is None:
                    parts.append(torch.zeros(parameter.shape[dim], device=self.device))
                else:
                    others = [part for other, part in enumerate(spread_of_tensor) if other != at]
                    parts.append(_sum_along(_product(tensor, others), dim))
        return torch.cat([torch.zeros(0, device=self.device), *parts])

    def expand(self, flat: Tensor) -> list[Tensor]:
        """Return the values of the slices of each parameter, broadcastable to it; the product where slices cross."""
        return [
            _product(parts[0], parts[1:]).to(parameter.dtype)
            for parameter, parts in zip(self.parameters, self._spread(flat), strict=True)
        ]

    def thresholds(self, flat: Tensor) -> list[Tensor]:
        """Return values like ``expand``, with the sum where slices cross."""
        return [
            sum(parts[1:], parts[0]).to(parameter.dtype)
            for parameter, parts in zip(self.parameters, self._spread(flat), strict=True)
        ]

    def _spread(self, flat: Tensor) -> list[list[Tensor]]:
        """Return, for each parameter, the values along each dimension that has slices."""
        parts = iter(torch.split(flat, self._sizes))
        return [
            [next(parts).reshape([-1 if other == dim else 1 for other in range(parameter.ndim)]) for dim in dims]
            for parameter, dims in zip(self.parameters, self._dims, strict=True)
        ]


def _product(tensor: Tensor, factors: Iterable[Tensor]) -> Tensor:
    for factor in factors:
        tensor = tensor * factor
    return tensor


def _sum_along(tensor: Tensor, dim: int) -> Tensor:
    """Return the float32 sum over all dimensions except ``dim``."""
    others = [other for other in range(tensor.ndim) if other != dim]
    return tensor.sum(others, dtype=torch.float32) if others else tensor.float()
