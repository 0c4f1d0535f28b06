"""Costs of a network, and savings by removing units."""

from __future__ import annotations

from edgeprune.cost.base import CostModel
from edgeprune.cost.counting import COSTS, Cost, cost_model, cost_of
from edgeprune.cost.memory import peak_activation_bytes
from edgeprune.cost.scaled import Scaled
from edgeprune.cost.table import LatencyTable, load_table

__all__ = [
    "COSTS",
    "Cost",
    "CostModel",
    "LatencyTable",
    "Scaled",
    "cost_model",
    "cost_of",
    "load_table",
    "peak_activation_bytes",
]
