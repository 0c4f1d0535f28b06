"""Load and check the network, its weights and the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.results.loading_results import LoadResult
from edgeprune.pipeline.stage import Stage, StageDir

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


def load_inputs(context: BuildContext) -> Data:
    """Import the user's code, and load data and network. Wrong names are reported first.

    Raises:
        InputError: Code, data or weights cannot be loaded.
    """
    from edgeprune.errors import RecipeError

    _ = context.repairs(compared=len(context.candidates) > 1)
    for candidate in context.candidates:
        _ = context.criterion(candidate.criterion), context.selection(candidate)
    if context.schedule.needs_rewind_weights and context.recipe.model.rewind_weights is None:
        raise RecipeError(
            f"model.rewind_weights: the schedule {context.schedule.name} needs weights from early in the training "
            "of the network, but the key is not set: set the path of their file"
        )
    loaded = context.data  # before the network: a missing data folder may also be the folder of the weights
    _ = context.dense, context.objective
    if context.recipe.training.metric is not None:
        context.evaluator(loaded.validation)
    return loaded


def check_inputs(context: BuildContext) -> tuple[Data, Any]:
    """Load the inputs, and check that network, data and training settings fit together.

    Returns:
        The data, and the outputs of the dense network for the example input.

    Raises:
        InputError: Code, data or weights cannot be loaded, or do not fit together.
    """
    from edgeprune.errors import RecipeError
    from edgeprune.model import data, network

    loaded = load_inputs(context)
    outputs = network.check_forward(context.dense, context.example)
    training, objective = context.recipe.training, context.objective
    data.check(loaded, outputs, sample=context.recipe.model.input[1:], classes=objective.is_default)
    if training.step is not None and training.metric is None:
        raise RecipeError(
            "training.metric: it must be set together with training.step, because a build also evaluates exported "
            "files, on which a step cannot run: set a function of outputs and labels"
        )
    if not objective.is_default:
        objective.check_batch(context.dense, loaded.train, batch_size=training.sample_batch)
    return loaded, outputs


def _run(context: BuildContext, _stage_dir: StageDir) -> LoadResult:
    loaded, _ = check_inputs(context)
    return LoadResult(
        samples={role: len(split) for role, split in loaded.splits().items()},
        settings=_settings(context.recipe, context.target),
        inputs=context.inputs,
    )


# This stage only checks. Later stages load network and data again. They depend on the settings and the inputs, but not
# on the code that was only checked, such as all criteria and schedules.
STAGE = Stage("load", "load", _run, _settings, reads_inputs=True, content=asdict)
