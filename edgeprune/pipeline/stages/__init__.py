"""The stages of a build, one file each, in the order they run."""

from __future__ import annotations

from edgeprune.pipeline.stage import Stage
from edgeprune.pipeline.stages import (
    bundle,
    capture,
    evaluate,
    evaluate_dense,
    evaluate_shipped,
    export,
    finetune,
    group,
    load,
    parity,
    profile,
    prove,
    repair,
    rewrite,
    score,
    select,
)

STAGES: tuple[Stage, ...] = (
    load.STAGE,
    evaluate_dense.STAGE,
    capture.STAGE,
    group.STAGE,
    score.STAGE,
    select.STAGE,
    rewrite.STAGE,
    prove.STAGE,
    repair.STAGE,
    finetune.STAGE,
    evaluate.STAGE,
    export.STAGE,
    parity.STAGE,
    evaluate_shipped.STAGE,
    profile.STAGE,
    bundle.STAGE,
)
