"""Latency of one inference, predicted from a latency table of layers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgeprune.cost.base import CostModel
from edgeprune.cost.latency_table import Grid, LatencyTable
from edgeprune.cost.layer_shapes import layers
from edgeprune.cost.memory_cost import activations
from edgeprune.cost.multilinear_terms import MultilinearTerms, elements
from edgeprune.graph import Units


class LatencyCost(CostModel):
    """Sum of the overhead of the runtime, the latencies of the layers, and a remainder.

    The remainder is the latency of the dense network beyond its layers: sums, poolings and copies, which mostly read
    and write activations. It is scaled with the bytes of the remaining activations. The result is an estimate.
    ``edgeprune calibrate`` reports its error.

    Latency decreases in steps of the alignment of the runtime. ``savings`` distributes a step over the units that cause
    it: it uses the steepest slope from the current size of a layer to a smaller size of its grid.
    """

    def __init__(self, units: Units, table: LatencyTable) -> None:
        cost_layers = list(layers(units))
        remainder = table.remainder(cost_layers)
        tensors = [elements(units, tensor.labels, tensor.element_bytes) for tensor in activations(units)]
        super().__init__(MultilinearTerms(units, [*(layer.sizes for layer in cost_layers), *tensors]))
        self._layers = len(cost_layers)
        self._lookup = LatencyLookup([table.grid(layer) for layer in cost_layers], table)
        self._floor_ms = table.floor_ms
        self._ms_per_byte = remainder.rest_ms / self._activation_bytes()

    def total(self) -> float:
        return self._floor_ms + float(self.layers_ms().sum()) + self.remainder_ms()

    def totals(self, remaining: Tensor) -> Tensor:
        sizes = remaining[:, : self._layers, :2]
        layer = torch.arange(self._layers).repeat(len(remaining))
        layers_ms = self._lookup.at(layer, sizes.reshape(-1, 2)).reshape(len(remaining), self._layers)
        activation_bytes = self.terms.at(remaining).values()[:, self._layers :].sum(1)
        return self._floor_ms + layers_ms.sum(1) + self._ms_per_byte * activation_bytes

    def layers_ms(self) -> Tensor:
        """Return the latency of each layer in milliseconds, in the order of execution, (layers,)."""
        return self._lookup.at(torch.arange(self._layers), self._sizes())

    def remainder_ms(self) -> float:
        return self._ms_per_byte * self._activation_bytes()

    def savings(self, limit: float = -math.inf) -> Tensor:
        terms, of_layer = self.terms, self.terms.pair_term < self._layers
        steepest = torch.zeros(len(terms.counts), terms.loss.shape[1], dtype=torch.float64)
        steepest[: self._layers, :2] = self._lookup.steepest(self._sizes())
        of_layers = (steepest[terms.pair_term] * terms.loss).sum(1)
        remainder_ms = max(self._ms_per_byte, 0.0) * terms.decrease()
        return terms.per_unit(torch.where(of_layer, of_layers, remainder_ms))

    def gains(self) -> Tensor:
        terms, of_layer = self.terms, self.terms.pair_term < self._layers
        changed, now = terms.pair_term[of_layer], self._sizes()
        increase = self._ms_per_byte * terms.increase()
        after = self._lookup.at(changed, now[changed] + terms.loss[of_layer, :2])
        increase[of_layer] = after - self._lookup.at(changed, now[changed])
        return terms.per_unit(increase)

    def _sizes(self) -> Tensor:
        """Return the remaining (in, out) channels of each layer, (layers, 2)."""
        return self.terms.remaining[: self._layers, :2]

    def _activation_bytes(self) -> float:
        return float(self.terms.values()[self._layers :].sum())


class LatencyLookup:
    """Vectorized bilinear interpolation in the grids of several layers.

    Aligned channel counts are interpolated between aligned counts, and other counts between other counts. A runtime
    with slow kernels for other counts needs twice as long there, so 31 and 33 channels do not predict 32.
    """

    def __init__(self, grids: list[Grid], table: LatencyTable) -> None:
        steps = [table.alignment.get(grid.shape.kind, (1, 1)) for grid in grids]
        self._step = torch.tensor(steps, dtype=torch.float64).reshape(-1, 2)
        counts = [[grid.into for grid in grids], [grid.out for grid in grids]]
        most = [max((len(axis) for axis in axes), default=1) for axes in counts]
        self._counts = [_padded(axes, size) for axes, size in zip(counts, most, strict=True)]
        self._ms = torch.zeros(len(grids), most[0], most[1], dtype=torch.float64)
        for index, grid in enumerate(grids):
            self._ms[index, : len(grid.into), : len(grid.out)] = torch.tensor(grid.ms, dtype=torch.float64)

    def at(self, layer: Tensor, sizes: Tensor) -> Tensor:
        """Return the milliseconds of ``layer``, (n,), with ``sizes`` (in, out), (n, 2), clamped to the grid."""
        low, high, part = zip(*(self._between(axis, layer, sizes[:, axis]) for axis in (0, 1)), strict=True)
        near = self._ms[layer, low[0], low[1]].lerp(self._ms[layer, low[0], high[1]], part[1])
        far = self._ms[layer, high[0], low[1]].lerp(self._ms[layer, high[0], high[1]], part[1])
        return near.lerp(far, part[0])

    def steepest(self, sizes: Tensor) -> Tensor:
        """Return the largest saving in ms per index by a smaller count of the grid, at least 0, (layers, 2)."""
        layer = torch.arange(len(sizes))
        now = self.at(layer, sizes)
        slopes = []
        for axis in (0, 1):
            counts = self._counts[axis]
            candidates = sizes[:, None].repeat(1, counts.shape[1], 1)
            candidates[..., axis] = counts
            tried_ms = self.at(layer.repeat_interleave(counts.shape[1]), candidates.flatten(0, 1)).reshape(counts.shape)
            fewer = sizes[:, axis, None] - counts
            slope = (now[:, None] - tried_ms) / fewer
            slopes.append(torch.where(fewer > 0, slope, 0.0).amax(1).clamp(min=0.0))
        return torch.stack(slopes, 1)

    def _between(self, axis: int, layer: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the grid points on both sides of ``size``, and its relative position between them, in [0, 1]."""
        counts, step = self._counts[axis][layer], self._step[layer, axis]
        aligned = (counts % step[:, None]) == 0
        usable = (aligned == ((size % step) == 0)[:, None]) & counts.isfinite()
        usable = torch.where(usable.any(1, keepdim=True), usable, counts.isfinite())
        below = torch.where(usable & (counts <= size[:, None]), counts, -math.inf)
        above = torch.where(usable & (counts >= size[:, None]), counts, math.inf)
        (low_count, low), (high_count, high) = below.max(1), above.min(1)
        low, high = torch.where(low_count.isinf(), high, low), torch.where(high_count.isinf(), low, high)
        span = torch.where(low_count.isinf() | high_count.isinf(), 0.0, high_count - low_count)
        part = torch.where(span > 0, (size - low_count) / span, 0.0)
        return low, high, part


def _padded(axes: list[tuple[int, ...]], size: int) -> Tensor:
    padded = [[*axis, *[math.inf] * (size - len(axis))] for axis in axes]
    return torch.tensor(padded, dtype=torch.float64).reshape(len(axes), size)
