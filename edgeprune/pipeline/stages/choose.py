"""Decide which precision ships by the measurements, or leave the choice to a board that builds its own engine."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import PROFILE, Job, demand
from edgeprune.pipeline.stage import Findings, Space, Stage
from edgeprune.profile.result import PRUNED

if TYPE_CHECKING:
    from edgeprune.config.target import Precision
    from edgeprune.quantize import Candidate, LatencyRatio
    from edgeprune.quantize.decision import Speed

logger = logging.getLogger(__name__)


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        "precision": demand(recipe, target),
        "max_accuracy_drop": recipe.quantize.max_accuracy_drop,
        "int8_top1_agreement": target.parity.int8_top1_agreement,
    }


def _run(job: Job, _space: Space) -> Mapping[str, Any]:
    from edgeprune.quantize import Facts, decide, decide_for_board

    settings = job.recipe.quantize
    speed: Speed | None = None
    candidates = {name: _candidate(job, name) for name in job.exported}
    problems = {name: made["problem"] for name, made in job.value("quantize").items() if "problem" in made}
    if job.backend.chooses_precision_on_device:
        decision = decide_for_board(settings.precision, candidates, problems, accuracy_drop=settings.max_accuracy_drop)
    else:
        facts = Facts(
            candidates["float32"],
            candidates.get("int8"),
            _ratio(job) if "int8" in candidates else None,
            problems.get("int8", "it was not asked for"),
            _locked(job),
        )
        speed = facts.speed
        decision = decide(demand(job.recipe, job.target), facts, accuracy_drop=settings.max_accuracy_drop)
    _check_agreement(job, decision.precision)
    logger.info("%s ships: %s; %s", decision.precision, decision.reason, decision.evidence)
    return {
        "precision": decision.precision,
        "reason": decision.reason,
        "along": list(decision.along),
        "int8": speed,
        "locked": _locked(job) is not None,
    }


def _locked(job: Job) -> Speed | None:
    """Whether int8 is faster, as the lock says."""
    locked: Speed | None = job.lock.get("targets", job.target.name).get("int8")
    return locked


def _found(job: Job, values: Mapping[str, Any]) -> Findings:
    """Whether int8 is faster, where that was measured: what ships rests on it, and what is said of it."""
    return {} if values["int8"] is None else {("targets", job.target.name): {"int8": values["int8"]}}


def _candidate(job: Job, name: Precision) -> Candidate:
    from edgeprune.quantize import Candidate

    return Candidate(job.value("quantize")[name]["accuracy"], job.exported[name].stat().st_size)


def _ratio(job: Job) -> LatencyRatio | None:
    """Latency of int8 over that of float32 on the measured device; an estimate if the target has another processor.

    None where the models were not measured.

    ``edgeprune compare`` decides by the same statistic. The lock holds what was measured on the target.
    """
    from edgeprune.profile import Profile, latency_noise
    from edgeprune.quantize import LatencyRatio

    profile = Profile.load(job.file("profile", PROFILE))
    if not profile.models:
        return None
    base, new = profile.models[PRUNED], profile.models["int8"]
    ratio = latency_noise.ratio(base.blocks_ms, new.blocks_ms)
    here, there = profile.device["machine"], job.target.hardware.architecture
    kind, where = new.latency_ms.kind, job.target.name
    if there not in (None, here):
        kind, where = "estimated", f"{there}, from {here},"
    if _locked(job) is not None:
        kind, where = "measured", job.target.name
    return LatencyRatio(ratio.value, ratio.low, ratio.high, where, kind)


def _check_agreement(job: Job, precision: str) -> None:
    """Check that int8 gives the same class as PyTorch for enough samples, which is a limit besides that of accuracy."""
    from edgeprune.errors import ParityError

    agreement, limit = job.value("parity")[precision]["top1_agreement"], job.target.parity.int8_top1_agreement
    if precision == "int8" and agreement is not None and agreement < limit:
        raise ParityError(
            f"the int8 model gives another class than PyTorch for {1 - agreement:.2%} of the validation data; "
            f"parity.int8_top1_agreement of {job.target.name} asks for {limit:.2%}: try another "
            "quantize.calibration, or quantize.precision = 'float32'"
        )


STAGE = Stage(
    "choose",
    "choose the precision",
    after=("parity", "profile"),
    settings=_settings,
    run=_run,
    found=_found,
    holds=lambda job, _: not job.lock.update,
)
