"""Repairs: compensation for removed units in closed form, before training."""

from __future__ import annotations

from edgeprune.repair.apply_repairs import Repair
from edgeprune.repair.batchnorm_recalibration import recalibrate
from edgeprune.repair.constant_units import constant_units
from edgeprune.repair.reconstruct import put, reconstruct
from edgeprune.repair.repair_methods import REPAIRS, chosen_repairs

__all__ = ["REPAIRS", "Repair", "chosen_repairs", "constant_units", "put", "recalibrate", "reconstruct"]
