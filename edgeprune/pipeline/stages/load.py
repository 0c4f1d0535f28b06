"""Load the network, its weights and the data; find out what cannot work before any time is spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.stage import Space, Stage

if TYPE_CHECKING:
    from edgeprune.model.data import Data


def _settings(recipe: Recipe, _target: Target) -> Mapping[str, Any]:
    return {
        "model": recipe.model.model_dump(mode="json"),
        "data": recipe.data.model_dump(mode="json"),
        "schedule": recipe.schedule.model_dump(mode="json"),
        "objective": recipe.training.model_dump(mode="json", include={"loss", "step", "metric", "batch_size"}),
        "seed": recipe.seed,
    }


def load_inputs(job: Job) -> Data:
    """Import the user's code, and load data and network; wrong names are reported before any time is spent.

    Raises:
        InputError: Code, data or weights cannot be loaded.
    """
    from edgeprune.errors import RecipeError

    _ = job.repairs
    for candidate in job.candidates:
        _ = job.create_criterion(candidate.criterion), job.create_selection(candidate)
    if job.schedule.needs_early and job.recipe.model.early is None:
        raise RecipeError(
            f"model.early: the schedule {job.schedule.name} goes back to weights from early in the training of the "
            "network; name their file"
        )
    loaded = job.data  # first: a data folder that is missing may be where the weights should be as well
    _ = job.dense, job.objective
    if job.recipe.training.metric is not None:
        job.judge(loaded.validation)
    return loaded


def _run(job: Job, _space: Space) -> Mapping[str, Any]:
    from edgeprune.errors import RecipeError
    from edgeprune.model import data, network

    loaded = load_inputs(job)
    outputs = network.check_forward(job.dense, job.example)
    training, objective = job.recipe.training, job.objective
    data.check(loaded, outputs, sample=job.recipe.model.input[1:], classes=objective.plain)
    if training.step is not None and training.metric is None:
        raise RecipeError(
            "training.step: set training.metric as well; a step may use parts of the network, and an exported file, "
            "which a build also judges, has none"
        )
    if not objective.plain:
        objective.try_on(job.dense, loaded.train, batch_size=training.sample_batch)
    return {
        "samples": {role: len(split) for role, split in loaded.splits().items()},
        "settings": _settings(job.recipe, job.target),
        "inputs": dict(job.inputs),
    }


# This stage only checks: those after it load again what they need, so they depend on the settings and the inputs, but
# not on the code that was checked with, such as all criteria and schedules.
STAGE = Stage("load", "load", after=(), settings=_settings, run=_run, reads_inputs=True, by_content=True)
