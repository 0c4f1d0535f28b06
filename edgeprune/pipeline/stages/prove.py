"""Prove by numbers that the smaller network computes what it must."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.stage import Space, Stage


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    return {"prove": recipe.prune.prove}


def _run(job: Job, _space: Space) -> Mapping[str, Any]:
    if not job.recipe.prune.prove:
        return {"proved": False}
    from edgeprune.graph import verify

    proof = verify(job.pruned("rewrite"), job.units, job.removed, job.rewritten.kept)
    return {"proved": True, "max_error": proof.max_error, "exact": proof.exact}


STAGE = Stage("prove", "prove", after=("rewrite",), settings=_settings, run=_run)
