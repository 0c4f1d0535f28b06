"""Recipe, target and budget: pydantic models over TOML. Imports no torch."""

from __future__ import annotations

from edgeprune.config.budget import Budget
from edgeprune.config.gates import RecipeBudget
from edgeprune.config.recipe import (
    DataSettings,
    DistillationSettings,
    ExportSettings,
    ModelSettings,
    PruneSettings,
    Recipe,
    ScheduleSettings,
    TrainingSettings,
)
from edgeprune.config.target import (
    HardwareSettings,
    OnnxSettings,
    ParitySettings,
    ProfileSettings,
    RuntimeSettings,
    Target,
)

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
