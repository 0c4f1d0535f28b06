"""Command-line options that select a recipe or describe a network without a recipe, and change single settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeprune.cli import completion

if TYPE_CHECKING:
    from edgeprune.config import Recipe

_F = TypeVar("_F", bound=Callable[..., Any])
_DEFAULT_RECIPE = "digits"
_COMMAND_LINE = "the command line"
_PATH_SETTINGS = ("model.weights", "model.rewind_weights", "data.dir")
_SPEC_SETTINGS = (
    "model.factory", "data.function", "prune.criterion", "prune.selection", "schedule.name",
    "training.loss", "training.step", "training.metric",
)  # fmt: skip


def shape(context: click.Context, option: click.Parameter, value: str | None) -> list[int] | None:
    """Parse a shape with the batch first, such as ``1,3,224,224``."""
    if value is None:
        return None
    try:
        sizes = [int(size) for size in value.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        problem = (
            f"got '{value:.80}', must be positive whole numbers separated by commas, batch size first: 1,3,224,224"
        )
        raise click.BadParameter(problem, context, option)
    from edgeprune.config.recipe import MAX_INPUT_ELEMENTS

    if prod(sizes) > MAX_INPUT_ELEMENTS:
        raise click.BadParameter(
            f"got '{value:.80}', must have at most {MAX_INPUT_ELEMENTS:,} elements", context, option
        )
    return sizes


def assignments(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """Parse ``KEY=VALUE`` pairs with values as in TOML; quotes around text are optional."""
    settings = {}
    for value in values:
        from edgeprune.config.settings_base import toml_value

        key, equals, text = (part.strip() for part in value.partition("="))
        if not (key and equals and text):
            raise click.BadParameter(f"got '{value}', must be KEY=VALUE", context, option)
        try:
            settings[key] = toml_value(text)
        except ValueError as problem:
            raise click.BadParameter(f"the value of '{key}' cannot be read: {problem}", context, option) from problem
    return settings


def recipe_options(function: _F) -> _F:
    """Add the options that ``chosen_recipe`` reads to a command."""
    for option in reversed(
        (
            click.option(
                "--model",
                metavar="SPEC",
                help="Your network: package.module:factory, file.py:factory, or a float ONNX file.",
            ),
            click.option(
                "--weights",
                metavar="FILE",
                help="Weights of the network: .safetensors, or a .pt file that contains only tensors.",
            ),
            click.option("--data", metavar="SPEC", help="Data function: package.module:function, or file.py:function."),
            click.option(
                "--input",
                "shape",
                metavar="N,C,H,W",
                callback=shape,
                help="Shape of the network's input, the batch first: 1,3,224,224.",
            ),
            click.option("--data-dir", metavar="DIR", help="Folder that is passed to the data function."),
            click.option(
                "--budget",
                multiple=True,
                callback=assignments,
                metavar="COST=LIMIT",
                help="Limit of a cost: macs=0.5 or 50% is half of the dense network, macs=4000000 is absolute. "
                "Pruning also targets params, latency_ms, peak_activation_bytes, flash_bytes=64KiB, and arena_bytes. "
                "Checked after the build: accuracy='drop 0.5%' or 0.985, latency_ms.p95=5ms, memory_bytes, file_bytes. "
                "For one target: rpi:macs=0.3.",
            ),
            click.option(
                "--criterion",
                metavar="NAME",
                shell_complete=completion.criteria,
                help="Importance score of units, see 'edgeprune criteria', or file.py:Class.  [default: that of the "
                "recipe; without one, several are compared]",
            ),
            click.option(
                "--selection",
                metavar="NAME",
                shell_complete=completion.selections,
                help="Method that turns scores into a plan: global, uniform, knapsack, sensitivity, or file.py:Class.  "
                "[default: that of the recipe]",
            ),
            click.option(
                "--schedule",
                metavar="NAME",
                shell_complete=completion.schedules,
                help="Pruning schedule, see 'edgeprune schedules', or file.py:Class.  [default: that of the recipe]",
            ),
            click.option(
                "--epochs",
                metavar="N",
                type=click.IntRange(min=0),
                help="Number of training epochs; the total for a schedule.  [default: that of the recipe]",
            ),
            click.option(
                "--seed",
                metavar="N",
                type=click.IntRange(min=0),
                help="Seed of all random choices.  [default: that of the recipe]",
            ),
            click.option(
                "--set",
                "settings",
                multiple=True,
                callback=assignments,
                metavar="KEY=VALUE",
                help="Recipe setting by its key in 'edgeprune recipes show': --set training.lr=0.05. Files are "
                "relative to the working folder.",
            ),
        )
    ):
        function = option(function)
    return function


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """Values of the options that ``recipe_options`` adds to a command. None: the option is not given.

    Attributes:
        model: Factory of the network, ``package.module:factory`` or ``file.py:factory``, or an ONNX file.
        weights: File with the weights of the network.
        data: Function that returns the data, ``package.module:function`` or ``file.py:function``.
        shape: Shape of the example input with the batch first.
        data_dir: Folder that is passed to the data function.
        budget: Limits by cost, also as ``TARGET:COST``.
        criterion: Name of the criterion, or ``file.py:Class``.
        selection: Name of the selection, or ``file.py:Class``.
        schedule: Name of the schedule, or ``file.py:Class``.
        epochs: Number of training epochs.
        seed: Seed of all random choices.
        settings: Values by dotted key of the recipe.
    """

    model: str | None = None
    weights: str | None = None
    data: str | None = None
    shape: list[int] | None = None
    data_dir: str | None = None
    budget: Mapping[str, Any] = field(default_factory=dict)
    criterion: str | None = None
    selection: str | None = None
    schedule: str | None = None
    epochs: int | None = None
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


def chosen_recipe(name: str | None, options: RecipeOptions) -> Recipe:
    """Return the recipe ``name``, or a new recipe for the network in ``options``, with all settings of ``options``.

    Raises:
        click.UsageError: Two options exclude each other, or an option needs another one.
        RecipeError: The recipe or a setting is unknown, or a value is not allowed.
    """
    from edgeprune.config import Recipe
    from edgeprune.config.budget import COSTS

    overrides = {
        "model.weights": _absolute(options.weights),
        "data.dir": _absolute(options.data_dir),
        "model.input": options.shape,
        "prune.criterion": None if options.criterion is None else _absolute_spec(options.criterion),
        "prune.selection": None if options.selection is None else _absolute_spec(options.selection),
        "schedule.name": None if options.schedule is None else _absolute_spec(options.schedule),
        "training.epochs": options.epochs,
        "seed": options.seed,
        **{_budget_key(name): value for name, value in options.budget.items()},
        **{key: _from_working_folder(key, value) for key, value in options.settings.items()},
    }
    if options.model is None:
        if options.data is not None:
            overrides["data.function"] = _absolute_spec(options.data)
        recipe = Recipe.load(name or _DEFAULT_RECIPE)
    else:
        if name is not None:
            raise click.UsageError(f"give a recipe ('{name}') or --model, not both")
        if options.data is None or options.shape is None:
            raise click.UsageError("--model needs --data and --input")
        recipe = Recipe.parse(
            {
                "name": _name(options.model),
                "model": {"factory": options.model, "input": options.shape},
                "data": {"function": options.data},
                "budget": {name: value for name, value in options.budget.items() if name in COSTS} or {"macs": 0.5},
            },
            folder=Path.cwd(),
            where=_COMMAND_LINE,
        )
    return recipe.override({key: value for key, value in overrides.items() if value is not None}, where=_COMMAND_LINE)


def _budget_key(name: str) -> str:
    """Return the key in a recipe for ``macs``, ``latency_ms``, ``latency_ms.p95`` or ``rpi:macs``."""
    target, _, cost = name.rpartition(":")
    cost = "latency_ms.predicted" if cost == "latency_ms" else cost
    return f"budget.targets.{target}.{cost}" if target else f"budget.{cost}"


def _name(spec: str) -> str:
    """Return a bundle name for a network without a recipe, from its file, or the module and name of its factory."""
    from edgeprune.config.setting_types import is_onnx_file

    if is_onnx_file(spec):
        return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(spec).stem).strip("-_.") or "network"
    where, _, factory = spec.rpartition(":")
    return f"{Path(where).stem if where.endswith('.py') else where.rpartition('.')[2]}-{factory}".strip("-_.")


def _absolute(path: str | None) -> str | None:
    """Resolve a path relative to the working folder, instead of the folder of the recipe."""
    return None if path is None else str(Path(path).expanduser().resolve())


def _from_working_folder(key: str, value: Any) -> Any:
    """Resolve files in the value of ``--set``, also inside tables, relative to the working folder."""
    if isinstance(value, dict):
        return {name: _from_working_folder(f"{key}.{name}", inner) for name, inner in value.items()}
    if not isinstance(value, str) or "${" in value:
        return value
    if key in _SPEC_SETTINGS:
        return _absolute_spec(value)
    return _absolute(value) if key in _PATH_SETTINGS else value


def _absolute_spec(spec: str) -> str:
    from edgeprune.config.setting_types import is_onnx_file

    if is_onnx_file(spec):
        return str(Path(spec).expanduser().resolve())
    where, colon, name = spec.rpartition(":")
    return f"{Path(where).resolve()}{colon}{name}" if where.endswith(".py") else spec
