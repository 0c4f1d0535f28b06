"""Compare several ways to choose what is removed, and decide for one."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.errors import RecipeError
from edgeprune.pipeline import fingerprint
from edgeprune.pipeline.cache import Finished
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.stage import Findings, Space, Stage
from edgeprune.pipeline.stages import finetune, repair, score, select

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.candidates import Candidate, CandidateResult, Score
    from edgeprune.graph import Rewritten
    from edgeprune.model.data import Split
    from edgeprune.statistics import Samples

logger = logging.getLogger(__name__)

_KEY_DIGITS = 12
"""Digits of a key in the lock."""
_BATCH = 32
"""Validation samples of which one mean loss is taken, to compare two networks pair by pair."""


def _settings(recipe: Recipe, target: Target) -> Mapping[str, Any]:
    stages = (score.STAGE, select.STAGE, repair.STAGE, finetune.STAGE)
    return {stage.name: dict(stage.settings(recipe, target)) for stage in stages}


def _run(job: Job, space: Space) -> Mapping[str, Any]:
    from edgeprune.candidates import compare
    from edgeprune.training import processes

    if len(job.candidates) == 1:
        return {"results": [], "chosen": None, "name": None, "locked": False}
    select.check_table(job)
    locked = _locked(job)
    trial = _Trial(job, space)
    results = compare(job.candidates, trial, locked=locked, agree=processes().tell, progress=space.progress)
    (winner,) = [result.candidate for result in results if result.chosen]
    return {
        "results": [_stored(result) for result in results],
        "chosen": asdict(winner),
        "name": str(winner),
        "locked": locked is not None,
    }


def _stored(result: CandidateResult) -> Mapping[str, Any]:
    """``result`` as JSON, without the loss of each batch; a loss that is not finite is None."""
    values = asdict(result)
    for state in filter(None, (values["repaired"], values["trained"])):
        del state["losses"]
        state["loss"] = state["loss"] if math.isfinite(state["loss"]) else None
    return values


def results(job: Job) -> tuple[CandidateResult, ...]:
    """Results of all candidates that were compared; () where the recipe or its schedule leaves no choice."""
    from edgeprune.candidates import Candidate, CandidateResult, Score

    def score(values: Mapping[str, Any]) -> Score:
        return Score(math.inf if values["loss"] is None else values["loss"], values["accuracy"])

    found = job.value("candidates")["results"] if "candidates" in job.results else ()
    return tuple(
        CandidateResult(
            Candidate(**values["candidate"]),
            values["macs"],
            repaired=score(values["repaired"]),
            trained=None if values["trained"] is None else score(values["trained"]),
            chosen=values["chosen"],
        )
        for values in found
    )


class _Trial:
    """Makes, scores and trains the candidates of one build; see ``edgeprune.candidates.Trial``."""

    def __init__(self, job: Job, space: Space) -> None:
        self._job = job
        self._space = space
        self._scores: dict[str, Tensor] = {}

    def plan(self, candidate: Candidate) -> tuple[float, Tensor]:
        from edgeprune import pruning
        from edgeprune.criteria import Network

        job, name = self._job, candidate.criterion
        criterion = job.create_criterion(name)
        if name not in self._scores:
            network = Network(job.dense, job.units, job.recipe.seed, job.samples)
            self._scores[name] = pruning.score(criterion, network, job.repairs)
        plan, removed = select.choose(job, candidate, criterion, self._scores[name])
        return plan.after.macs / max(plan.before.macs, 1), removed

    def build(self, removed: Tensor) -> Rewritten:
        from edgeprune.graph.rewrite import rewrite
        from edgeprune.repair import Repair

        job = self._job
        rewritten = rewrite(job.dense, job.units, removed)
        Repair(job.repairs, job.units, removed, job.samples, seed=job.recipe.seed).apply(rewritten)
        return rewritten

    def score(self, model: nn.Module) -> Score:
        from edgeprune import candidates
        from edgeprune.training.evaluate import BrokenError

        job = self._job
        hidden = job.objective.steps  # a step of the user's own computes the loss itself
        found = candidates.Score(math.inf) if hidden else candidates.score(model, self._samples)
        if job.objective.plain and job.recipe.training.metric is None:
            return found
        try:
            judged = job.judge(self._split)(model)
        except BrokenError:
            return candidates.Score(math.inf)
        return candidates.Score(judged.loss if hidden else found.loss, judged.accuracy, found.losses)

    def train(self, number: int, rewritten: Rewritten) -> bool:
        from edgeprune.candidates import FEWEST_STEPS, TRAINING_FRACTION
        from edgeprune.errors import TrainingError
        from edgeprune.training import Stretch, Trainer

        job, model = self._job, rewritten.model
        if not job.trains:
            return False
        folder = self._space.keep / str(number)
        folder.mkdir(exist_ok=True)
        trainer = Trainer(
            model,
            job.data,
            # Which plan is chosen must not depend on measured speed.
            job.recipe.training.model_copy(update={"precision": "float32", "channels_last": False}),
            seed=job.recipe.seed,
            folder=folder,
            teacher=job.teacher(model, rewritten.kept),
            base=job.recipe.folder,
        )
        if trainer.steps * TRAINING_FRACTION < FEWEST_STEPS:
            return False
        try:
            trainer.train(Stretch(share=TRAINING_FRACTION))
            trainer.finish()
        except TrainingError as problem:
            logger.info("candidate %d: %s", number, problem)  # its score tells, and the one before training counts
        return True

    @cached_property
    def _split(self) -> Split:
        """The validation samples to compare on."""
        from edgeprune.candidates import SAMPLES
        from edgeprune.model.splits import some

        return some(self._job.data.validation, SAMPLES, key=(self._job.recipe.seed,))

    @cached_property
    def _samples(self) -> Samples:
        """The same in batches, with the loss."""
        from edgeprune.candidates import SAMPLES
        from edgeprune.statistics import Samples

        job = self._job
        loss, seed = job.objective.of_outputs, job.recipe.seed
        return Samples.of(self._split, count=SAMPLES, batch_size=_BATCH, seed=seed, loss=loss)


def _winner(finished: Finished) -> Any:
    return finished.values["chosen"]


def _table(job: Job) -> tuple[str, ...]:
    """The table of the lock that holds the chosen candidates of a target, by ``_comparison``."""
    return ("targets", job.target.name, "plans")


def _comparison(job: Job) -> str:
    """Key of what is compared: a choice holds for the same network, data and settings."""
    content = {"settings": dict(_settings(job.recipe, job.target)), "inputs": dict(job.inputs)}
    return fingerprint.digest(content)[:_KEY_DIGITS]


def _locked(job: Job) -> Candidate | None:
    """The candidate that the lock names for this comparison."""
    key = _comparison(job)
    name = job.lock.get(*_table(job)).get(key)
    if name is None:
        return None
    for candidate in job.candidates:
        if str(candidate) == name:
            return candidate
    allowed = "; ".join(map(str, job.candidates))
    raise RecipeError(f"{job.lock.path}: {'.'.join(_table(job))}.{key} is {name!r}, must be one of: {allowed}")


def _found(job: Job, values: Mapping[str, Any]) -> Findings:
    """Name of the chosen candidate. Another kind of processor rounds losses differently and may choose another."""
    return {} if values["name"] is None else {_table(job): {_comparison(job): values["name"]}}


STAGE = Stage(
    "candidates",
    "compare candidate plans",
    after=("group",),
    settings=_settings,
    run=_run,
    together=True,
    found=_found,
    by_content=_winner,
)
