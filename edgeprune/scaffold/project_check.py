"""Check of a project: network, weights and data load and fit together, and a batch passes through."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeprune.config import Recipe, Target
from edgeprune.config.setting_types import is_onnx_file
from edgeprune.devices import Local
from edgeprune.errors import InputError
from edgeprune.model.splits import some
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.build_settings import BuildSettings
from edgeprune.pipeline.stages import load_network
from edgeprune.scaffold.project_files import RECIPE

_EVALUATED = 256
_GUESSING = 1.5


@dataclass(frozen=True)
class ProjectCheck:
    """Result of the check of a project.

    Attributes:
        name: Name of the recipe.
        parameters: Number of parameters of the network.
        input: Shape of the input with the batch first.
        samples: Number of samples of each split.
        classes: Names of the classes; empty if the data have none.
        has_weights: Whether the recipe names trained weights: a weights file, or an ONNX file.
        metric: Name of the metric.
        value: Metric of the network on ``evaluated`` validation samples.
        evaluated: Number of these samples.
        is_guessing: Whether the network is about as accurate as guessing.
    """

    name: str
    parameters: int
    input: tuple[int, ...]
    samples: dict[str, int]
    classes: tuple[str, ...]
    has_weights: bool
    metric: str
    value: float
    evaluated: int
    is_guessing: bool


def check_project(folder: Path) -> ProjectCheck:
    """Load the project in ``folder``, run one training batch, and evaluate the network on validation samples.

    Raises:
        InputError: The recipe, the network, its weights or the data cannot be used.
    """
    if not (folder / RECIPE).is_file():
        raise InputError(f"{folder} has no {RECIPE}: 'edgeprune init' writes one, and --output names its folder")
    recipe = Recipe.load(folder)
    context = BuildContext(BuildSettings(recipe, Target.load("host"), folder, Local()))
    data, outputs = load_network.check_inputs(context)
    context.objective.check_batch(context.dense, data.train, batch_size=recipe.training.sample_batch)
    validation = some(data.validation, _EVALUATED, key=(recipe.seed,))
    evaluator = context.evaluator(validation)
    value = evaluator(context.dense).accuracy
    return ProjectCheck(
        name=recipe.name,
        parameters=sum(parameter.numel() for parameter in context.dense.parameters()),
        input=recipe.model.input,
        samples={role: len(split) for role, split in data.splits().items()},
        classes=data.classes,
        has_weights=recipe.model.weights is not None or is_onnx_file(recipe.model.factory),
        metric=evaluator.metric,
        value=value,
        evaluated=len(validation),
        is_guessing=evaluator.is_default and value * outputs.shape[1] < _GUESSING,
    )
