"""Stages of a build, one module each."""

from __future__ import annotations

from edgeprune.pipeline.stages import (
    capture_network,
    check_parity,
    check_target,
    choose_precision,
    compare_candidates,
    describe_network,
    evaluate_dense,
    evaluate_deployed,
    evaluate_pruned,
    export_onnx,
    finetune_pruned,
    group_units,
    load_network,
    plan_costs,
    profile_models,
    prune_while_training,
    quantize_models,
    scan_sensitivity,
    score_units,
    select_units,
    verify_equivalence,
    write_bundle,
)

STAGES = (
    load_network.STAGE,
    check_target.STAGE,
    evaluate_dense.STAGE,
    capture_network.STAGE,
    group_units.STAGE,
    compare_candidates.STAGE,
    score_units.STAGE,
    select_units.STAGE,
    finetune_pruned.STAGE,
    prune_while_training.STAGE,
    plan_costs.STAGE,
    scan_sensitivity.STAGE,
    describe_network.STAGE,
    verify_equivalence.STAGE,
    evaluate_pruned.STAGE,
    export_onnx.STAGE,
    quantize_models.STAGE,
    check_parity.STAGE,
    profile_models.STAGE,
    choose_precision.STAGE,
    evaluate_deployed.STAGE,
    write_bundle.STAGE,
)
"""All stages in the order in which they run."""
