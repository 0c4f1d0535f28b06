"""Recipe, target and budget: pydantic models over TOML. Imports no torch.

Names are loaded on first use (PEP 562): building the models takes time, and few commands need all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.lazy_attributes import lazy_attributes

if TYPE_CHECKING:
    from edgeprune.config.budget import Budget
    from edgeprune.config.budget_limits import RecipeBudget
    from edgeprune.config.hardware_settings import HardwareSettings
    from edgeprune.config.prune_settings import PruneSettings
    from edgeprune.config.recipe import DataSettings, ExportSettings, ModelSettings, Recipe, ScheduleSettings
    from edgeprune.config.target import OnnxSettings, ParitySettings, ProfileSettings, RuntimeSettings, Target
    from edgeprune.config.training_settings import DistillationSettings, TrainingSettings

__all__ = [
    "Budget",
    "DataSettings",
    "DistillationSettings",
    "ExportSettings",
    "HardwareSettings",
    "ModelSettings",
    "OnnxSettings",
    "ParitySettings",
    "ProfileSettings",
    "PruneSettings",
    "Recipe",
    "RecipeBudget",
    "RuntimeSettings",
    "ScheduleSettings",
    "Target",
    "TrainingSettings",
]

_MODULES = {
    "Budget": "budget",
    "DataSettings": "recipe",
    "DistillationSettings": "training_settings",
    "ExportSettings": "recipe",
    "HardwareSettings": "hardware_settings",
    "ModelSettings": "recipe",
    "OnnxSettings": "target",
    "ParitySettings": "target",
    "ProfileSettings": "target",
    "PruneSettings": "prune_settings",
    "Recipe": "recipe",
    "RecipeBudget": "budget_limits",
    "RuntimeSettings": "target",
    "ScheduleSettings": "recipe",
    "Target": "target",
    "TrainingSettings": "training_settings",
}

__getattr__ = lazy_attributes(__name__, _MODULES)
