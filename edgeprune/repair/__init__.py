"""Make up for what was removed, in closed form, before any training."""

from __future__ import annotations

from edgeprune.repair.batchnorm import recalibrate
from edgeprune.repair.constants import constant_units
from edgeprune.repair.methods import REPAIRS, chosen_repairs
from edgeprune.repair.reconstruct import put, reconstruct
from edgeprune.repair.repairing import Repair

__all__ = ["REPAIRS", "Repair", "chosen_repairs", "constant_units", "put", "recalibrate", "reconstruct"]
