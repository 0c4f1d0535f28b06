"""Find what can be removed, and what goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.stage import Space, Stage


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    return {"exclude": list(recipe.prune.exclude), "attention": recipe.prune.attention}


def _run(job: Job, _space: Space) -> Mapping[str, Any]:
    units = job.units
    return {
        "groups": len(units.groups),
        "units": len(units),
        "prunable_units": int(units.prunable.sum()),
        "frozen": [{"group": name, "reason": reason} for name, reason in units.frozen],
    }


STAGE = Stage("group", "group", after=("capture",), settings=_settings, run=_run)
