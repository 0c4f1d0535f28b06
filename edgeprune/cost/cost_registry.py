"""All costs of a network by name."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgeprune.cost.base import CostModel
from edgeprune.cost.flash_cost import flash_bytes
from edgeprune.cost.latency_cost import LatencyCost
from edgeprune.cost.latency_table import LatencyTable
from edgeprune.cost.memory_cost import Int8Arena, PeakActivation, peak_activation_bytes
from edgeprune.cost.multilinear import macs, params
from edgeprune.errors import InputError
from edgeprune.graph import Units

COSTS = ("macs", "params", "latency_ms", "peak_activation_bytes", "flash_bytes", "arena_bytes")
"""Costs that a budget can name."""


@dataclass(frozen=True)
class Cost:
    """Costs of one network for the example input (for a batch of one: a sample).

    ``macs`` counts multiply-adds (FLOPs = 2 x MACs) of convolutions, linear layers and matrix products, attention's
    included. ``peak_activation_bytes`` is the largest sum of live tensors over the order of execution, without weights.
    ``flash_bytes`` are the weights as float32, BatchNorm folded.
    """

    macs: int
    params: int
    peak_activation_bytes: int
    flash_bytes: int


def cost_model(
    name: str,
    units: Units,
    model: nn.Module,
    *,
    precision: str = "float32",
    table: LatencyTable | None = None,
) -> CostModel:
    """The cost ``name``, one of ``COSTS``, of dense ``model``.

    Of ``arena_bytes`` it is what depends on channels, see ``Int8Arena``; a build for a microcontroller adds the rest as
    its real allocator tells it.

    Args:
        name: of the cost.
        units: of the network.
        model: the network.
        precision: of the weights in flash, ``float32`` or ``int8``.
        table: of the target; ``latency_ms`` needs it.

    Raises:
        InputError: no such cost or precision; a latency without a table.
        TargetError: the table was made for other layers.
    """
    if name == "macs":
        return macs(units)
    if name == "params":
        return params(units, model)
    if name == "peak_activation_bytes":
        return PeakActivation(units)
    if name == "flash_bytes":
        return flash_bytes(units, precision)
    if name == "arena_bytes":
        return Int8Arena(units)
    if name == "latency_ms":
        if table is None:
            raise InputError("latency_ms needs the latency table of a target; make one with 'edgeprune calibrate'")
        return LatencyCost(units, table)
    raise InputError(f"no cost is called {name!r}; there are {', '.join(COSTS)}")


def cost_of(units: Units, model: nn.Module, removed: Tensor | None = None) -> Cost:
    """Costs of dense ``model``, or of what is left of it when the units in the mask ``removed`` go."""
    gone = torch.zeros(len(units), dtype=torch.bool) if removed is None else removed
    totals = {}
    for name in ("macs", "params", "flash_bytes"):
        cost = cost_model(name, units, model)
        cost.remove(gone)
        totals[name] = round(cost.total())
    return Cost(**totals, peak_activation_bytes=peak_activation_bytes(units, gone))
