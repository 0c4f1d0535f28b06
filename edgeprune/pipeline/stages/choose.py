"""Which precision ships: decided by what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import INT8, PROFILE, PRUNED, Job
from edgeprune.pipeline.stage import Space, Stage


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    return {"precision": recipe.quantize.precision, "max_accuracy_drop": recipe.quantize.max_accuracy_drop}


def _run(job: Job, _space: Space) -> Mapping[str, Any]:
    from edgeprune.profile import Profile, statistics
    from edgeprune.quantize import Candidate, Facts, LatencyRatio, decide

    made, settings = job.value("quantize"), job.recipe.quantize
    demanded = settings.precision
    if demanded == "float16":
        return {"precision": "float16", "reason": "the recipe demands it"}
    int8 = made.get("int8")
    if int8 is None:
        return {"precision": "float32", "reason": made.get("why_no_int8", "no other precision was asked for")}
    profile = Profile.from_json(job.file("profile", PROFILE).read_text(encoding="utf-8"))
    base, new = profile.models[PRUNED], profile.models[INT8]
    ratio = statistics.ratio(base.blocks_ms, new.blocks_ms, seed=job.recipe.seed)
    decision = decide(
        demanded,
        Facts(
            Candidate(made["float_accuracy"], job.value("export")["file_bytes"], base.latency_ms.p50),
            Candidate(int8["accuracy"], int8["file_bytes"], new.latency_ms.p50),
            LatencyRatio(ratio.value, ratio.low, ratio.high, profile.device["uri"], new.latency_ms.kind),
        ),
        accuracy_drop=settings.max_accuracy_drop,
    )
    return {"precision": decision.precision, "reason": decision.reason}


STAGE = Stage("choose", "choose the precision", after=("quantize", "profile"), settings=_settings, run=_run)
