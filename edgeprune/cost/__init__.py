"""Cost models: costs of a network, and the savings by removal of units."""

from __future__ import annotations

from edgeprune.cost.base import CostModel
from edgeprune.cost.cost_registry import COSTS, Cost, cost_model, cost_of
from edgeprune.cost.latency_table import LatencyTable, load_table
from edgeprune.cost.memory_cost import peak_activation_bytes
from edgeprune.cost.scaled_cost import ScaledCost

__all__ = [
    "COSTS",
    "Cost",
    "CostModel",
    "LatencyTable",
    "ScaledCost",
    "cost_model",
    "cost_of",
    "load_table",
    "peak_activation_bytes",
]
