"""Options that say which recipe: a name, or a network of one's own, and single settings on top."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

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
    """Read ``1,3,224,224``: dimensions with the batch first."""
    if value is None:
        return None
    try:
        sizes = [int(size) for size in value.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        problem = f"got '{value:.80}', must be whole numbers from 1 with commas, the batch first: 1,3,224,224"
        raise click.BadParameter(problem, context, option)
    from edgeprune.config.recipe import MAX_INPUT_ELEMENTS

    if prod(sizes) > MAX_INPUT_ELEMENTS:
        raise click.BadParameter(
            f"got '{value:.80}', must have at most {MAX_INPUT_ELEMENTS:,} elements", context, option
        )
    return sizes


def assignments(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """Read ``KEY=VALUE``, each value as in TOML, text without quotes as well."""
    from edgeprune.config.settings import toml_value

    read = {}
    for value in values:
        key, equals, text = (part.strip() for part in value.partition("="))
        if not (key and equals and text):
            raise click.BadParameter(f"got '{value}', must be KEY=VALUE", context, option)
        try:
            read[key] = toml_value(text)
        except ValueError as problem:
            raise click.BadParameter(f"the value of '{key}' cannot be read: {problem}", context, option) from problem
    return read


def recipe_options(function: _F) -> _F:
    """Add the options that ``chosen_recipe`` reads."""
    for option in reversed(
        (
            click.option("--model", metavar="SPEC", help="Your network: package.module:factory, or file.py:factory."),
            click.option("--weights", metavar="FILE", help="Its weights: .safetensors, or a .pt with tensors alone."),
            click.option("--data", metavar="SPEC", help="Its data: package.module:function, or file.py:function."),
            click.option("--input", "shape", callback=shape, help="Its input, the batch first: 1,3,224,224."),
            click.option("--data-dir", metavar="DIR", help="Folder handed to the data function."),
            click.option(
                "--budget",
                multiple=True,
                callback=assignments,
                metavar="COST=LIMIT",
                help="macs=0.5 is half of dense, macs=4000000 absolute; pruning also aims for params, latency_ms, "
                "peak_activation_bytes, flash_bytes=64KiB, and arena_bytes of microcontrollers. Judged in the end: "
                "accuracy='drop 0.5%' or 0.985, latency_ms.p95=5ms, memory_bytes, file_bytes. For one target: "
                "rpi:macs=0.3.",
            ),
            click.option(
                "--criterion",
                help="What scores a unit, see 'edgeprune criteria'; or file.py:Class of your own.  [default: that of "
                "the recipe; without one, several are compared]",
            ),
            click.option(
                "--selection",
                help="Method that turns scores into a plan: global, uniform, knapsack, sensitivity, or your own "
                "file.py:Class.  [default: that of the recipe]",
            ),
            click.option("--schedule", help="When units go, see 'edgeprune schedules'; or your file.py:Class."),
            click.option(
                "--epochs", type=click.IntRange(min=0), help="Epochs of training, those of a schedule in all."
            ),
            click.option("--seed", type=click.IntRange(min=0), help="Of everything random."),
            click.option(
                "--set",
                "settings",
                multiple=True,
                callback=assignments,
                metavar="KEY=VALUE",
                help="Any recipe setting, as 'recipes show' prints them: --set training.lr=0.05. Files are relative to "
                "the working folder.",
            ),
        )
    ):
        function = option(function)
    return function


def recipe_of(name: str | None, **options: Any) -> Recipe:
    """``chosen_recipe`` with some of its options; the others have no values."""
    single = ("model", "weights", "data", "shape", "data_dir", "criterion", "selection", "schedule", "epochs", "seed")
    return chosen_recipe(name, **{**dict.fromkeys(single), "budget": {}, "settings": {}, **options})


def chosen_recipe(
    name: str | None,
    *,
    model: str | None,
    weights: str | None,
    data: str | None,
    shape: list[int] | None,
    data_dir: str | None,
    budget: dict[str, Any],
    criterion: str | None,
    selection: str | None,
    schedule: str | None,
    epochs: int | None,
    seed: int | None,
    settings: dict[str, Any],
) -> Recipe:
    """The recipe that a command line names, with its settings on top.

    Raises:
        click.UsageError: Options that do not go together.
        RecipeError: An unknown recipe or setting, or a value that is not allowed.
    """
    from edgeprune.config import Recipe
    from edgeprune.config.budget import COSTS

    given = {
        "model.weights": _absolute(weights),
        "data.dir": _absolute(data_dir),
        "model.input": shape,
        "prune.criterion": None if criterion is None else _absolute_spec(criterion),
        "prune.selection": None if selection is None else _absolute_spec(selection),
        "schedule.name": None if schedule is None else _absolute_spec(schedule),
        "training.epochs": epochs,
        "seed": seed,
        **{_budget_key(name): value for name, value in budget.items()},
        **{key: _from_working_folder(key, value) for key, value in settings.items()},
    }
    if model is None:
        if data is not None:
            given["data.function"] = _absolute_spec(data)
        recipe = Recipe.load(name or _DEFAULT_RECIPE)
    else:
        if name is not None:
            raise click.UsageError(f"give a recipe ('{name}') or --model, not both")
        if data is None or shape is None:
            raise click.UsageError("--model needs --data and --input as well")
        recipe = Recipe.parse(
            {
                "name": _name(model),
                "model": {"factory": model, "input": shape},
                "data": {"function": data},
                "budget": {name: value for name, value in budget.items() if name in COSTS} or {"macs": 0.5},
            },
            folder=Path.cwd(),
            where=_COMMAND_LINE,
        )
    return recipe.override({key: value for key, value in given.items() if value is not None}, where=_COMMAND_LINE)


def _budget_key(name: str) -> str:
    """The key of a recipe for ``macs``, ``latency_ms``, ``latency_ms.p95`` or ``rpi:macs``."""
    target, _, cost = name.rpartition(":")
    cost = "latency_ms.predicted" if cost == "latency_ms" else cost
    return f"budget.targets.{target}.{cost}" if target else f"budget.{cost}"


def _name(spec: str) -> str:
    """A name for the bundle of a network without a recipe: what its factory is called, after where it lies."""
    where, _, factory = spec.rpartition(":")
    return f"{Path(where).stem if where.endswith('.py') else where.rpartition('.')[2]}-{factory}".strip("-_.")


def _absolute(path: str | None) -> str | None:
    """Paths on a command line start in the working folder, those in a recipe beside it."""
    return None if path is None else str(Path(path).expanduser().resolve())


def _from_working_folder(key: str, value: Any) -> Any:
    """The value of ``--set``, with files relative to the working folder instead of the recipe's; tables as well."""
    if isinstance(value, dict):
        return {name: _from_working_folder(f"{key}.{name}", inner) for name, inner in value.items()}
    if not isinstance(value, str) or "${" in value:
        return value
    if key in _SPEC_SETTINGS:
        return _absolute_spec(value)
    return _absolute(value) if key in _PATH_SETTINGS else value


def _absolute_spec(spec: str) -> str:
    where, colon, name = spec.rpartition(":")
    return f"{Path(where).resolve()}{colon}{name}" if where.endswith(".py") else spec
