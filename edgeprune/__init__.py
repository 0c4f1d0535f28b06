"""EdgePrune: a trained PyTorch network, pruned, fine-tuned, exported, measured and packed for a small device.

Public names are loaded on first use (PEP 562): importing ``edgeprune`` imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgeprune.distributed_env import make_openmp_wait_passively

if TYPE_CHECKING:
    from edgeprune import errors, schedules
    from edgeprune.config import Budget, Recipe, Target
    from edgeprune.graph import groups
    from edgeprune.model.data import Data, Split
    from edgeprune.pipeline import build
    from edgeprune.profile.profile_devices import profile
    from edgeprune.prune_options import PruneOptions
    from edgeprune.pruning import prune
    from edgeprune.selection import Plan

make_openmp_wait_passively()

__version__ = "0.1.0"

__all__ = [
    "Budget",
    "Data",
    "Plan",
    "PruneOptions",
    "Recipe",
    "Split",
    "Target",
    "__version__",
    "build",
    "errors",
    "groups",
    "profile",
    "prune",
    "schedules",
]

_ROOMS = ("errors", "profile", "schedules")

_HOMES = {
    "Budget": "edgeprune.config",
    "Data": "edgeprune.model.data",
    "Plan": "edgeprune.selection",
    "PruneOptions": "edgeprune.prune_options",
    "Recipe": "edgeprune.config",
    "Split": "edgeprune.model.data",
    "Target": "edgeprune.config",
    "build": "edgeprune.pipeline",
    "groups": "edgeprune.graph",
    "prune": "edgeprune.pruning",
}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"edgeprune.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'edgeprune' has no attribute '{name}'")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
