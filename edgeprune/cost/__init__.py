"""What a network costs to run and to keep, and what removing a unit saves."""

from __future__ import annotations

from edgeprune.cost.memory import peak_activation_bytes
from edgeprune.cost.model import COSTS, Cost, CostModel, LayerCost, cost_of, layer_costs

__all__ = ["COSTS", "Cost", "CostModel", "LayerCost", "cost_of", "layer_costs", "peak_activation_bytes"]
