"""Cost models by name, and the costs of a network."""

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
"""Names of the costs that a budget can limit."""


@dataclass(frozen=True)
class Cost:
    """Costs of one network for the example input.

    Attributes:
        macs: Multiply-adds (FLOPs = 2 x MACs) of convolutions, linear layers and matrix products, including attention.
        params: Number of parameters.
        peak_activation_bytes: Largest sum of live tensors over the order of execution, without weights, in bytes.
        flash_bytes: Size of the float32 weights with folded BatchNorm, in bytes.
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
    """Return the cost model ``name`` of the dense ``model``.

    The model of ``arena_bytes`` covers the part that depends on channels, see ``Int8Arena``. A build for a
    microcontroller adds the remainder that its allocator reports.

    Args:
        name: Name of the cost, one of ``COSTS``.
        units: Units of the network.
        model: Dense network.
        precision: Precision of the weights in flash, ``float32`` or ``int8``.
        table: Latency table of the target, required for ``latency_ms``.

    Raises:
        InputError: The cost or precision is unknown, or a latency has no table.
        TargetError: The table was measured for other layers.
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
            raise InputError("latency_ms needs the latency table of a target: measure it with 'edgeprune calibrate'")
        return LatencyCost(units, table)
    raise InputError(f"unknown cost {name!r}, must be one of {', '.join(COSTS)}")


def cost_of(units: Units, model: nn.Module, removed: Tensor | None = None) -> Cost:
    """Return the costs of the dense ``model`` after removal of the units in the mask ``removed``, default none."""
    removed_mask = torch.zeros(len(units), dtype=torch.bool) if removed is None else removed
    totals = {}
    for name in ("macs", "params", "flash_bytes"):
        cost = cost_model(name, units, model)
        cost.remove(removed_mask)
        totals[name] = round(cost.total())
    return Cost(**totals, peak_activation_bytes=peak_activation_bytes(units, removed_mask))
