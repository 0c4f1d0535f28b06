"""Find the groups of coupled units, which can only be removed together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.results.loading_results import CaptureResult, GroupResult
from edgeprune.pipeline.stage import Stage, StageDir


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    return {"exclude": list(recipe.prune.exclude), "attention": recipe.prune.attention}


def _run(context: BuildContext, _stage_dir: StageDir) -> GroupResult:
    units = context.units
    return GroupResult(
        groups=len(units.groups),
        units=len(units),
        prunable_units=int(units.prunable.sum()),
        frozen=tuple(units.frozen),
    )


STAGE = Stage("group", "group", _run, _settings, after=(CaptureResult,))
