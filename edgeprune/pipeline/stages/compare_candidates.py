"""Compare candidate plans and choose one."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgeprune.bundle.pruning_report import PlanReport
from edgeprune.config import Recipe, Target
from edgeprune.errors import RecipeError
from edgeprune.pipeline import fingerprint
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.results.loading_results import GroupResult
from edgeprune.pipeline.results.pruning_results import CandidatesResult
from edgeprune.pipeline.stage import LockEntries, Stage, StageDir
from edgeprune.pipeline.stages import score_units, select_units

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.candidates import Candidate, CandidateResult, Score
    from edgeprune.graph import RewrittenModel
    from edgeprune.model.data import Split
    from edgeprune.statistics import Samples

logger = logging.getLogger(__name__)

_KEY_DIGITS = 12
"""Number of digits of a key in the lock."""
_BATCH = 32
"""Number of validation samples per mean loss, which two networks are compared by in pairs."""


def _comparison_settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    """Return the settings that decide which candidate is best."""
    prune, training, seed = recipe.prune, recipe.training, recipe.seed
    return {
        "score": dict(score_units.STAGE.settings(recipe, target)),
        "select": dict(select_units.settings(recipe, target)),
        "repair": {
            "repair": prune.repair,
            "samples": prune.samples,
            "batch_size": training.sample_batch,
            "training": training.trains,
            "seed": seed,
        },
        "finetune": {"training": training.model_dump(mode="json"), "seed": seed},
    }


def settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    """Return the settings that the choice of a candidate depends on."""
    return {**_comparison_settings(recipe, target), "schedule": recipe.schedule.model_dump(mode="json")}


def _run(context: BuildContext, stage_dir: StageDir) -> CandidatesResult:
    from edgeprune.candidates import compare
    from edgeprune.training import process_group

    if len(context.candidates) == 1:
        return _result(context, context.candidates[0])
    select_units.check_table(context)
    locked = _locked(context)
    trial = _Trial(context, stage_dir)
    compared = compare(
        context.candidates, trial, locked=locked, broadcast=process_group().broadcast, progress=stage_dir.progress
    )
    (winner,) = [result.candidate for result in compared if result.chosen]
    return replace(
        _result(context, winner),
        name=str(winner),
        compared=tuple(_report(result) for result in compared),
        locked=locked is not None,
    )


def _result(context: BuildContext, candidate: Candidate) -> CandidatesResult:
    schedule = context.schedule
    return CandidatesResult(
        **asdict(candidate), plans_ahead=schedule.plans_ahead, starts_trained=schedule.starts == "trained"
    )


def _report(result: CandidateResult) -> PlanReport:
    """Return the report of one candidate for the manifest; a loss that is not finite becomes None."""
    repaired, trained = result.repaired, result.trained
    return PlanReport(
        **asdict(result.candidate),
        macs=result.macs,
        loss=_finite(repaired.loss),
        accuracy=repaired.accuracy,
        trained_loss=None if trained is None else _finite(trained.loss),
        trained_accuracy=None if trained is None else trained.accuracy,
        chosen=result.chosen,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class _Trial:
    """Trial that plans, scores and trains the candidates of one build; see ``edgeprune.candidates.Trial``."""

    def __init__(self, context: BuildContext, stage_dir: StageDir) -> None:
        self._context = context
        self._repairs = context.repairs(compared=True)
        self._stage_dir = stage_dir
        self._scores: dict[str, Tensor] = {}

    def plan(self, candidate: Candidate) -> tuple[float, Tensor]:
        from edgeprune import pruning
        from edgeprune.criteria import Network

        context, name = self._context, candidate.criterion
        criterion = context.criterion(name)
        if name not in self._scores:
            network = Network(context.dense, context.units, context.recipe.seed, context.samples)
            self._scores[name] = pruning.score(criterion, network, self._repairs)
        plan, removed = select_units.choose(context, candidate, criterion, self._scores[name])
        return plan.after.macs / max(plan.before.macs, 1), removed

    def build(self, removed: Tensor) -> RewrittenModel:
        from edgeprune.graph.rewrite import rewrite
        from edgeprune.repair import Repair

        context = self._context
        rewritten = rewrite(context.dense, context.units, removed)
        Repair(self._repairs, context.units, removed, context.samples, seed=context.recipe.seed).apply(rewritten)
        return rewritten

    def score(self, model: nn.Module) -> Score:
        from edgeprune import candidates
        from edgeprune.training.evaluate import BrokenError

        context = self._context
        has_step = context.objective.has_custom_step  # a custom step computes the loss itself
        score = candidates.Score(math.inf) if has_step else candidates.score(model, self._samples)
        if context.objective.is_default and context.recipe.training.metric is None:
            return score
        try:
            evaluation = context.evaluator(self._split)(model)
        except BrokenError:
            return candidates.Score(math.inf)
        return candidates.Score(evaluation.loss if has_step else score.loss, evaluation.accuracy, score.losses)

    def train(self, number: int, rewritten: RewrittenModel) -> bool:
        from edgeprune.candidates import FEWEST_STEPS, TRAINING_FRACTION
        from edgeprune.errors import TrainingError
        from edgeprune.training import Phase, Trainer

        context, model = self._context, rewritten.model
        if not context.trains:
            return False
        folder = self._stage_dir.keep / str(number)
        folder.mkdir(exist_ok=True)
        trainer = Trainer(
            model,
            context.data,
            # The chosen plan must not depend on measured speed.
            context.recipe.training.model_copy(update={"precision": "float32", "channels_last": False}),
            seed=context.recipe.seed,
            folder=folder,
            teacher=context.teacher(model, rewritten.kept_indices),
            base=context.recipe.folder,
        )
        if trainer.plan.steps * TRAINING_FRACTION < FEWEST_STEPS:
            return False
        try:
            trainer.train(Phase(fraction=TRAINING_FRACTION))
            trainer.finish()
        except TrainingError as problem:
            logger.info("candidate %d: %s", number, problem)  # its score shows it, and the score before training counts
        return True

    @cached_property
    def _split(self) -> Split:
        """Validation samples for the comparison."""
        from edgeprune.candidates import SAMPLES
        from edgeprune.model.splits import some

        return some(self._context.data.validation, SAMPLES, key=(self._context.recipe.seed,))

    @cached_property
    def _samples(self) -> Samples:
        """Batches of the same samples, with the loss."""
        from edgeprune.candidates import SAMPLES
        from edgeprune.statistics import Samples

        context = self._context
        loss, seed = context.objective.of_outputs, context.recipe.seed
        return Samples.of(self._split, count=SAMPLES, batch_size=_BATCH, seed=seed, loss=loss)


def _content(result: CandidatesResult) -> Any:
    """Return the chosen candidate without the losses of all candidates."""
    return [
        result.criterion,
        result.selection,
        result.balance,
        result.align,
        result.plans_ahead,
        result.starts_trained,
        bool(result.compared),
    ]


def _table(context: BuildContext) -> tuple[str, ...]:
    """Return the lock table of the chosen candidates of a target, by ``_comparison_key``."""
    return ("targets", context.target.name, "plans")


def _comparison_key(context: BuildContext) -> str:
    """Return the key of a comparison: a choice is valid for the same network, data and settings."""
    content = {"settings": dict(_comparison_settings(context.recipe, context.target)), "inputs": dict(context.inputs)}
    return fingerprint.digest(content)[:_KEY_DIGITS]


def _locked(context: BuildContext) -> Candidate | None:
    """Return the candidate that the lock names for this comparison; None if it names none.

    Raises:
        RecipeError: The lock names an unknown candidate.
    """
    key = _comparison_key(context)
    name = context.lock.get(*_table(context)).get(key)
    if name is None:
        return None
    for candidate in context.candidates:
        if str(candidate) == name:
            return candidate
    allowed = "; ".join(map(str, context.candidates))
    raise RecipeError(
        f"{context.lock.path}: {'.'.join(_table(context))}.{key}: got {name!r:.200}, must be one of: {allowed}"
    )


def _lock_entries(context: BuildContext, result: CandidatesResult) -> LockEntries:
    """Return the name of the chosen candidate, as rounding on another type of processor may change the choice."""
    return {} if result.name is None else {_table(context): {_comparison_key(context): result.name}}


STAGE = Stage(
    "candidates",
    "compare candidate plans",
    _run,
    settings,
    after=(GroupResult,),
    all_processes=True,
    content=_content,
    lock_entries=_lock_entries,
)
