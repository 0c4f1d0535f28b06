"""What a network costs to run and to keep, and what removing a unit saves."""

from __future__ import annotations

from edgeprune.cost.memory import peak_activation_bytes
from edgeprune.cost.model import COSTS, Cost, CostModel, cost_of

__all__ = ["COSTS", "Cost", "CostModel", "cost_of", "peak_activation_bytes"]
