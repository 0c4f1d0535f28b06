"""``edgeprune build``: the main job."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from edgeprune.cli.options import chosen_recipe, recipe_options
from edgeprune.cli.output import json_option, print_json, print_rich
from edgeprune.cli.screen import Screen
from edgeprune.errors import BudgetError
from edgeprune.launch import is_first

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("build")
@click.argument("recipe", required=False)
@click.option("--target", default="host", show_default=True, help="Where it will run; see 'edgeprune targets'.")
@click.option("--runtime", help="Instead of the target's usual one; 'edgeprune targets show NAME' has them.")
@recipe_options
@click.option("--output", default="dist", show_default=True, type=_FOLDER, help="Folder for the bundle.")
@click.option("--cache", default=".edgeprune", show_default=True, type=_FOLDER, help="Folder for stage results.")
@json_option
def command(
    recipe: str | None,
    target: str,
    runtime: str | None,
    *,
    output: Path,
    cache: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Prune, fine-tune, export, check, measure and pack a network.

    RECIPE is the name of a recipe or its folder; without it and without --model it is 'digits', which is embedded.

    \b
    Example:
      edgeprune build --target raspberry-pi-4
      edgeprune build --target raspberry-pi-5 --runtime litert
      edgeprune build --target arduino-nano-33-ble --budget arena_bytes=64KiB
      edgeprune build cifar10-resnet56 --data-dir cifar10 --budget macs=0.4 --epochs 1
      edgeprune build --model net.py:make --weights net.safetensors --data net.py:data --input 1,3,224,224
      edgeprune build --schedule iterative --set schedule.rounds=5
      torchrun --nproc-per-node 2 -m edgeprune build
    """
    chosen = chosen_recipe(recipe, **options)
    from edgeprune.config import Target
    from edgeprune.pipeline import build
    from edgeprune.report.table import render, rows

    where = Target.load(target)
    if runtime is not None:
        where = where.with_runtime(runtime)
    if not is_first():
        build(chosen, where, output=output, cache=cache)
        return
    with Screen() as screen:
        result = build(chosen, where, output=output, cache=cache, watcher=screen)
    missed = [budget.name for budget in result.manifest.budgets if not budget.ok]
    if as_json:
        print_json(
            {
                "folder": str(result.folder),
                "archive": str(result.archive),
                "stages": [dataclasses.asdict(stage) for stage in result.stages],
                "manifest": result.manifest.model_dump(mode="json"),
                "table": [dataclasses.asdict(row) for row in rows(result.manifest, result.profile)],
            }
        )
    else:
        print_rich(render(result.manifest, result.profile))
        click.echo(f"bundle: {result.folder}\n        {result.archive}")
    if missed:
        raise BudgetError(f"budget missed: {', '.join(missed)}; see 'budgets' in {result.folder / 'manifest.json'}")
