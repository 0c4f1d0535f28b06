"""Compare several ways to choose what is removed, and decide for one."""

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
from edgeprune.pipeline.stage import Findings, Stage, StageDir
from edgeprune.pipeline.stages import score_units, select_units

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.candidates import Candidate, CandidateResult, Score
    from edgeprune.graph import RewrittenModel
    from edgeprune.model.data import Split
    from edgeprune.statistics import Samples

logger = logging.getLogger(__name__)

_KEY_DIGITS = 12
"""Digits of a key in the lock."""
_BATCH = 32
"""Validation samples of which one mean loss is taken, to compare two networks pair by pair."""


def _comparison_settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    """Settings that decide which candidate is best."""
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
    """Settings that the choice of a candidate depends on."""
    return {**_comparison_settings(recipe, target), "schedule": recipe.schedule.model_dump(mode="json")}


def _run(context: BuildContext, space: StageDir) -> CandidatesResult:
    from edgeprune.candidates import compare
    from edgeprune.training import process_group

    if len(context.candidates) == 1:
        return _result(context, context.candidates[0])
    select_units.check_table(context)
    locked = _locked(context)
    trial = _Trial(context, space)
    compared = compare(
        context.candidates, trial, locked=locked, agree=process_group().broadcast, progress=space.progress
    )
    (winner,) = [one.candidate for one in compared if one.chosen]
    return replace(
        _result(context, winner),
        name=str(winner),
        compared=tuple(_report(one) for one in compared),
        locked=locked is not None,
    )


def _result(context: BuildContext, candidate: Candidate) -> CandidatesResult:
    schedule = context.schedule
    return CandidatesResult(
        **asdict(candidate), plans_ahead=schedule.plans_ahead, starts_trained=schedule.starts == "trained"
    )


def _report(compared: CandidateResult) -> PlanReport:
    """One candidate in the manifest; a loss that is not finite is None."""
    repaired, trained = compared.repaired, compared.trained
    return PlanReport(
        **asdict(compared.candidate),
        macs=compared.macs,
        loss=_finite(repaired.loss),
        accuracy=repaired.accuracy,
        trained_loss=None if trained is None else _finite(trained.loss),
        trained_accuracy=None if trained is None else trained.accuracy,
        chosen=compared.chosen,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


class _Trial:
    """Makes, scores and trains the candidates of one build; see ``edgeprune.candidates.Trial``."""

    def __init__(self, context: BuildContext, space: StageDir) -> None:
        self._context = context
        self._repairs = context.repairs(compared=True)
        self._space = space
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
        hidden = context.objective.has_custom_step  # a step of the user's own computes the loss itself
        found = candidates.Score(math.inf) if hidden else candidates.score(model, self._samples)
        if context.objective.is_default and context.recipe.training.metric is None:
            return found
        try:
            judged = context.judge(self._split)(model)
        except BrokenError:
            return candidates.Score(math.inf)
        return candidates.Score(judged.loss if hidden else found.loss, judged.accuracy, found.losses)

    def train(self, number: int, rewritten: RewrittenModel) -> bool:
        from edgeprune.candidates import FEWEST_STEPS, TRAINING_FRACTION
        from edgeprune.errors import TrainingError
        from edgeprune.training import Phase, Trainer

        context, model = self._context, rewritten.model
        if not context.trains:
            return False
        folder = self._space.keep / str(number)
        folder.mkdir(exist_ok=True)
        trainer = Trainer(
            model,
            context.data,
            # Which plan is chosen must not depend on measured speed.
            context.recipe.training.model_copy(update={"precision": "float32", "channels_last": False}),
            seed=context.recipe.seed,
            folder=folder,
            teacher=context.teacher(model, rewritten.kept),
            base=context.recipe.folder,
        )
        if trainer.plan.steps * TRAINING_FRACTION < FEWEST_STEPS:
            return False
        try:
            trainer.train(Phase(fraction=TRAINING_FRACTION))
            trainer.finish()
        except TrainingError as problem:
            logger.info("candidate %d: %s", number, problem)  # its score tells, and the one before training counts
        return True

    @cached_property
    def _split(self) -> Split:
        """The validation samples to compare on."""
        from edgeprune.candidates import SAMPLES
        from edgeprune.model.splits import some

        return some(self._context.data.validation, SAMPLES, key=(self._context.recipe.seed,))

    @cached_property
    def _samples(self) -> Samples:
        """The same in batches, with the loss."""
        from edgeprune.candidates import SAMPLES
        from edgeprune.statistics import Samples

        context = self._context
        loss, seed = context.objective.of_outputs, context.recipe.seed
        return Samples.of(self._split, count=SAMPLES, batch_size=_BATCH, seed=seed, loss=loss)


def _content(result: CandidatesResult) -> Any:
    """The chosen candidate; not the losses of all."""
    return [
        result.criterion,
        result.select,
        result.balance,
        result.align,
        result.plans_ahead,
        result.starts_trained,
        bool(result.compared),
    ]


def _table(context: BuildContext) -> tuple[str, ...]:
    """The table of the lock that holds the chosen candidates of a target, by ``_comparison``."""
    return ("targets", context.target.name, "plans")


def _comparison(context: BuildContext) -> str:
    """Key of what is compared: a choice holds for the same network, data and settings."""
    content = {"settings": dict(_comparison_settings(context.recipe, context.target)), "inputs": dict(context.inputs)}
    return fingerprint.digest(content)[:_KEY_DIGITS]


def _locked(context: BuildContext) -> Candidate | None:
    """The candidate that the lock names for this comparison."""
    key = _comparison(context)
    name = context.lock.get(*_table(context)).get(key)
    if name is None:
        return None
    for candidate in context.candidates:
        if str(candidate) == name:
            return candidate
    allowed = "; ".join(map(str, context.candidates))
    raise RecipeError(f"{context.lock.path}: {'.'.join(_table(context))}.{key} is {name!r}, must be one of: {allowed}")


def _findings(context: BuildContext, result: CandidatesResult) -> Findings:
    """Name of the chosen candidate. Another kind of processor rounds losses differently and may choose another."""
    return {} if result.name is None else {_table(context): {_comparison(context): result.name}}


STAGE = Stage(
    "candidates",
    "compare candidate plans",
    _run,
    settings,
    after=(GroupResult,),
    together=True,
    content=_content,
    findings=_findings,
)
