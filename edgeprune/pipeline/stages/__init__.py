"""The stages of a build, one file each."""

from __future__ import annotations

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
    group,
    load,
    parity,
    plan_costs,
    preflight,
    profile,
    prune_while_training,
    quantize,
    score,
    select,
    sensitivity,
    train,
    verify_equivalence,
)

STAGES = (
    load.STAGE,
    preflight.STAGE,
    evaluate_dense.STAGE,
    capture.STAGE,
    group.STAGE,
    candidates.STAGE,
    score.STAGE,
    select.STAGE,
    train.STAGE,
    prune_while_training.STAGE,
    plan_costs.STAGE,
    sensitivity.STAGE,
    describe.STAGE,
    verify_equivalence.STAGE,
    evaluate.STAGE,
    export.STAGE,
    quantize.STAGE,
    parity.STAGE,
    profile.STAGE,
    choose.STAGE,
    evaluate_shipped.STAGE,
    bundle.STAGE,
)
"""In the order in which they run, whatever the schedule."""
