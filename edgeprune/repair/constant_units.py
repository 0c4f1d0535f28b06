"""Constant units: units whose value is the same for all samples, which can be removed without loss."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.graph import Units
from edgeprune.graph.operator_call import Call
from edgeprune.statistics import Samples, Site, forward

_SAME = 1e-6
"""Largest spread of a constant, relative to the largest value of its layer."""


def constant_units(units: Units, samples: Samples) -> Tensor:
    """Return the mask of the units that are constant at all sites that consume them, (units,).

    A bias replaces such a unit exactly (``reconstruct``). A nonzero constant is not constant for a convolution that
    pads its input with zeros.
    """
    varies = torch.zeros(len(units), dtype=torch.float64)
    consumptions = torch.zeros(len(units), dtype=torch.float64)
    lowest: dict[Site, Tensor] = {}
    highest: dict[Site, Tensor] = {}

    def record(site: Site, value: Tensor) -> None:
        low, high = value.amin((0, 2)).cpu(), value.amax((0, 2)).cpu()
        lowest[site] = torch.minimum(lowest.get(site, low), low)
        highest[site] = torch.maximum(highest.get(site, high), high)

    forward(units, samples, record)
    for site, low in lowest.items():
        high = highest[site]
        allowed = _SAME * float(torch.maximum(low.abs(), high.abs()).max())
        moves = (high - low) > allowed
        if _pads(units, site):
            moves |= torch.maximum(low.abs(), high.abs()) > allowed
        site.add(moves, varies)
        site.add(torch.ones(len(low)), consumptions)
    return (varies == 0) & (consumptions > 0)


def _pads(units: Units, site: Site) -> bool:
    call = Call(units.coordinates.program, site.node, units.coordinates.labels)
    padding = call.get("padding", 0)
    if isinstance(padding, str):
        return padding != "valid"
    return any(padding) if isinstance(padding, (list, tuple)) else bool(padding)
