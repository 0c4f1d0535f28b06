"""The slices of parameters through which units act."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from edgeprune.graph import Units
from edgeprune.schedules._places import places_of


class Slices:
    """The slices of the parameters of ``model`` that scale what its units give to the layers that read it.

    The slice of a channel is what every layer that reads it multiplies it with: ``weight[:, i]`` of the next
    convolution. A table of words that is also the last layer holds one slice for both. All is computed for all units at
    once, a few operators a parameter.

    Attributes:
        names: State-dict names of the parameters that hold a slice of some unit.
        parameters: They themselves.
        held: Mask of the units whose every consumer reads them through a slice, (units,); others have no slices.
    """

    def __init__(self, model: nn.Module, units: Units) -> None:
        named = dict(model.named_parameters(remove_duplicate=False))
        found: dict[int, tuple[str, dict[int, Tensor]]] = {}
        reached, missed = (torch.zeros(len(units), dtype=torch.bool) for _ in range(2))
        for site, places in places_of(units):
            there = all(place.name in named for place in places)
            mask = reached if places and there else missed
            mask[site.units[site.units >= 0]] = True
            for place in places if there else ():
                _, dims = found.setdefault(id(named[place.name]), (place.name, {}))
                known = dims.get(place.dim, place.units)
                dims[place.dim] = torch.where(known >= 0, known, place.units)
        self.held = reached & ~missed
        self.names = [name for name, _ in found.values()]
        self.parameters = [named[name] for name in self.names]
        self._dims = [tuple(dims) for _, dims in found.values()]
        index = torch.cat([torch.zeros(0, dtype=torch.long), *(u for _, dims in found.values() for u in dims.values())])
        # What belongs to no unit points behind the last one.
        index = torch.where((index >= 0) & self.held[index], index, len(units))
        self._index = index.to(self.parameters[0].device if self.parameters else "cpu")

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self._index.device

    def factors(self, values: Tensor) -> list[Tensor]:
        """What to multiply each parameter with, to scale the slices of every unit by ``values``, (units,)."""
        return [
            _product(parts, parameter) for parts, parameter in zip(self._spread(values), self.parameters, strict=True)
        ]

    def sums(self, tensors: Sequence[Tensor | None], values: Tensor | None = None) -> Tensor:
        """The sum of ``tensors`` over the slices of each unit, float32 (units,).

        Args:
            tensors: Of the shapes of the parameters; None: all zeros.
            values: (units,); where slices of two units cross, each counts times the value of the other.
        """
        ones = torch.ones(len(self.held), device=self.device)
        every: list[Tensor] = []
        spread = self._spread(ones if values is None else values)
        for parameter, tensor, dims, parts in zip(self.parameters, tensors, self._dims, spread, strict=True):
            for at, dim in enumerate(dims):
                others = [part for other, part in enumerate(parts) if other != at]
                if tensor is None:
                    every.append(parameter.new_zeros(parameter.shape[dim], dtype=torch.float32))
                else:
                    every.append(_sum_along(tensor * _product(others, tensor) if others else tensor, dim))
        total = torch.zeros(len(self.held) + 1, device=self.device)
        return total.index_add_(0, self._index, torch.cat(every))[:-1] if every else total[:-1]

    def _spread(self, values: Tensor) -> Iterator[list[Tensor]]:
        """For each parameter ``values`` along each of its dimensions that hold slices, shaped to multiply it."""
        everyone = torch.cat([values.to(self.device), torch.ones(1, device=self.device)])[self._index]
        at = 0
        for parameter, dims in zip(self.parameters, self._dims, strict=True):
            parts = []
            for dim in dims:
                size = parameter.shape[dim]
                shape = [size if other == dim else 1 for other in range(parameter.ndim)]
                parts.append(everyone[at : at + size].reshape(shape))
                at += size
            yield parts


def _product(parts: Sequence[Tensor], like: Tensor) -> Tensor:
    whole = parts[0]
    for part in parts[1:]:
        whole = whole * part
    return whole.to(like.dtype)


def _sum_along(tensor: Tensor, dim: int) -> Tensor:
    """Over all dimensions but ``dim``, float32."""
    others = [other for other in range(tensor.ndim) if other != dim]
    return tensor.sum(others, dtype=torch.float32) if others else tensor.float()
