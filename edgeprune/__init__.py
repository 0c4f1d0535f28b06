"""EdgePrune: a trained PyTorch network, pruned, fine-tuned, exported, measured and packed for a small device.

Public names are loaded on first use (PEP 562): importing ``edgeprune`` imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.distributed_env import make_openmp_wait_passively
from edgeprune.lazy_attributes import lazy_attributes

if TYPE_CHECKING:
    from edgeprune import errors, schedules
    from edgeprune.config import Budget, Recipe, Target
    from edgeprune.graph import groups
    from edgeprune.model.data import Data, Split
    from edgeprune.onnx_import import load_onnx
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
    "load_onnx",
    "profile",
    "prune",
    "schedules",
]

__getattr__ = lazy_attributes(
    __name__,
    {
        "Budget": "config",
        "Data": "model.data",
        "Plan": "selection",
        "PruneOptions": "prune_options",
        "Recipe": "config",
        "Split": "model.data",
        "Target": "config",
        "build": "pipeline",
        "errors": "errors",
        "groups": "graph",
        "load_onnx": "onnx_import",
        "profile": "profile",
        "prune": "pruning",
        "schedules": "schedules",
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
