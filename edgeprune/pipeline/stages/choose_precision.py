"""Choose the precision of the shipped model by measurements, or leave the choice to a board that builds an engine."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.build_settings import demanded_precision
from edgeprune.pipeline.results.deployment_results import ChoiceResult, ProfileResult
from edgeprune.pipeline.results.export_results import ExportResult, ParityResult, QuantizeResult
from edgeprune.pipeline.stage import LockEntries, Stage, StageDir
from edgeprune.profile.profile_result import PRUNED

if TYPE_CHECKING:
    from edgeprune.config.target import Precision
    from edgeprune.quantize import LatencyRatio
    from edgeprune.quantize.precision_choice import Speed

logger = logging.getLogger(__name__)


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    return {
        "precision": demanded_precision(recipe, target),
        "max_accuracy_drop": recipe.quantize.max_accuracy_drop,
        "int8_top1_agreement": target.parity.int8_top1_agreement,
    }


def _run(
    context: BuildContext,
    _stage_dir: StageDir,
    exported: ExportResult,
    quantized: QuantizeResult,
    parity: ParityResult,
    profiled: ProfileResult,
) -> ChoiceResult:
    from edgeprune.quantize import PrecisionCandidate, PrecisionInputs, decide, decide_for_board

    settings = context.recipe.quantize
    speed: Speed | None = None
    problems = quantized.problems
    candidates = {
        precision: PrecisionCandidate(quantized.accuracy(precision), file.stat().st_size)
        for precision, file in quantized.files(exported).items()
    }
    if context.backend.chooses_precision_on_device:
        decision = decide_for_board(settings.precision, candidates, problems, accuracy_drop=settings.max_accuracy_drop)
    else:
        inputs = PrecisionInputs(
            candidates["float32"],
            candidates.get("int8"),
            _ratio(context, profiled) if "int8" in candidates else None,
            problems.get("int8", "it was not asked for"),
            _locked(context),
        )
        speed = inputs.speed
        demanded = demanded_precision(context.recipe, context.target)
        decision = decide(demanded, inputs, accuracy_drop=settings.max_accuracy_drop)
    _check_agreement(context, decision.precision, parity)
    logger.info("%s ships: %s; %s", decision.precision, decision.reason, decision.evidence)
    return ChoiceResult(
        precision=decision.precision,
        reason=decision.reason,
        other_precisions=tuple(decision.other_precisions),
        int8=speed,
        locked=_locked(context) is not None,
    )


def _locked(context: BuildContext) -> Speed | None:
    """Return the comparison of int8 with float32 in the lock; None if the lock has none."""
    locked: Speed | None = context.lock.get("targets", context.target.name).get("int8")
    return locked


def _lock_entries(context: BuildContext, result: ChoiceResult) -> LockEntries:
    """Return the comparison of int8 with float32, if it was measured, as it decides the precision."""
    return {} if result.int8 is None else {("targets", context.target.name): {"int8": result.int8}}


def _ratio(context: BuildContext, profiled: ProfileResult) -> LatencyRatio | None:
    """Return the latency ratio of int8 to float32 on the measured device; None if the models were not measured.

    The ratio is an estimate if the target has another processor. ``edgeprune compare`` uses the same statistic. A value
    in the lock counts as measured on the target.
    """
    from edgeprune.profile import Profile, latency_noise
    from edgeprune.quantize import LatencyRatio

    profile = Profile.load(profiled.profile)
    if not profile.models:
        return None
    base, new = profile.models[PRUNED], profile.models["int8"]
    ratio = latency_noise.ratio(base.blocks_ms, new.blocks_ms)
    measured_on, architecture = profile.device["machine"], context.target.hardware.architecture
    kind, where = new.latency_ms.kind, context.target.name
    if architecture not in (None, measured_on):
        kind, where = "estimated", f"{architecture}, from {measured_on},"
    if _locked(context) is not None:
        kind, where = "measured", context.target.name
    return LatencyRatio(ratio.value, ratio.low, ratio.high, where, kind)


def _check_agreement(context: BuildContext, precision: Precision, parity: ParityResult) -> None:
    """Check that int8 predicts the same class as PyTorch for enough samples, besides the limit of accuracy."""
    from edgeprune.errors import ParityError

    agreement = parity.precisions[precision].report.top1_agreement
    limit = context.target.parity.int8_top1_agreement
    if precision == "int8" and agreement is not None and agreement < limit:
        raise ParityError(
            f"int8: {agreement:.2%} of the predicted classes equal those of PyTorch on the validation data, but "
            f"parity.int8_top1_agreement of {context.target.name} requires {limit:.2%}: try another "
            "quantize.calibration, or quantize.precision = 'float32'"
        )


STAGE = Stage(
    "choose",
    "choose the precision",
    _run,
    _settings,
    lock_entries=_lock_entries,
    is_valid=lambda context, _: not context.lock.update,
)
