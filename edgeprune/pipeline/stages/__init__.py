"""The stages of a build, one file each."""

from __future__ import annotations

from edgeprune.config import Recipe
from edgeprune.pipeline.stage import Stage
from edgeprune.pipeline.stages import (
    bundle,
    candidates,
    capture,
    choose,
    describe,
    evaluate,
    evaluate_dense,
    evaluate_shipped,
    export,
    finetune,
    group,
    load,
    parity,
    preflight,
    profile,
    prove,
    quantize,
    repair,
    rewrite,
    schedule,
    score,
    select,
    sensitivity,
)

_BEFORE = (load.STAGE, preflight.STAGE, evaluate_dense.STAGE, capture.STAGE, group.STAGE)
_ONE_SHOT = (
    candidates.STAGE,
    score.STAGE,
    sensitivity.STAGE,
    select.STAGE,
    describe.STAGE,
    rewrite.STAGE,
    prove.STAGE,
    repair.STAGE,
    finetune.STAGE,
)
_SCHEDULED = (schedule.STAGE, sensitivity.STAGE, describe.STAGE, rewrite.STAGE, prove.STAGE)
_FILES = (evaluate.STAGE, export.STAGE, quantize.STAGE, parity.STAGE)
_SHIPPED = (profile.STAGE, choose.STAGE, evaluate_shipped.STAGE, bundle.STAGE)


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages in the order they run.

    Pruning and training are one where the schedule mixes them.
    """
    pruned = _ONE_SHOT if recipe.schedule.name == "one_shot" else _SCHEDULED
    return (*_BEFORE, *pruned, *_FILES, *_SHIPPED)
