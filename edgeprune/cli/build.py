"""``edgeprune build``: prune, export and pack a network for one or more targets."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli import build_forecast, completion, github_actions
from edgeprune.cli.build_progress import BuildProgress
from edgeprune.cli.console_output import (
    echo,
    json_option,
    print_error,
    print_json,
    print_rich,
    print_text,
    print_warning,
)
from edgeprune.cli.help_sections import Command
from edgeprune.cli.recipe_options import RecipeOptions, chosen_recipe, recipe_options
from edgeprune.distributed_env import is_first
from edgeprune.errors import BudgetError, EdgePruneError

if TYPE_CHECKING:
    from edgeprune.config import Recipe, Target
    from edgeprune.pipeline import BuildResult
    from edgeprune.report.build_summary import BuildOutcome

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("build", cls=Command, exit_codes=(4, 5, 6, 7))
@click.argument("recipe", required=False, shell_complete=completion.recipes)
@click.option(
    "--target",
    "targets",
    metavar="NAME",
    shell_complete=completion.targets,
    multiple=True,
    default=("host",),
    help="Target device, see 'edgeprune targets'. Repeat the option to build for several targets.",
)
@click.option(
    "--runtime",
    metavar="NAME",
    help="Runtime of the target; see 'edgeprune targets show NAME'.  [default: that of the target]",
)
@recipe_options
@click.option("--output", default="dist", metavar="DIR", type=_FOLDER, help="Folder for the bundle.")
@click.option("--cache", default=".edgeprune", metavar="DIR", type=_FOLDER, help="Folder for stage results.")
@click.option(
    "--device", metavar="URI", help="Device for measurements; see 'edgeprune profile'.  [default: this machine]"
)
@click.option(
    "--log",
    "logs",
    multiple=True,
    metavar="KIND:PATH",
    help="Write training curves to tensorboard:DIR or csv:FILE; can be repeated.",
)
@click.option("--force", is_flag=True, help="Replace the bundle's folder and archive regardless of their content.")
@click.option("--dry-run", is_flag=True, help="Print the stages and whether they are cached, and run nothing.")
@click.option("--update-lock", is_flag=True, help="Repeat the measurements in edgeprune.lock and overwrite them.")
@json_option
def command(
    recipe: str | None,
    targets: tuple[str, ...],
    runtime: str | None,
    *,
    output: Path,
    cache: Path,
    device: str | None,
    logs: tuple[str, ...],
    force: bool,
    dry_run: bool,
    update_lock: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Prune, fine-tune, export, check, measure and pack a network.

    RECIPE is the name of a recipe or its folder. The default without --model is the packaged recipe 'digits'.
    The bundle is written to the folder RECIPE-TARGET in --output and replaces an earlier bundle there. If other files
    would be lost, the build stops with exit code 3 before it starts, unless --force is given.

    The exit code is 4 if a budget is missed. For several targets, it is the highest exit code of all.

    --log writes loss and accuracy on training and validation data, and the learning rate, after each epoch; for cached
    training, from its stored history. It changes no result.

    --dry-run prints the stages of each build in order: cached, or with the reason why they run, and with the duration
    of their latest run for this recipe where the cache has one.

    Measurements that decisions depend on are recorded in edgeprune.lock, next to the recipe, or in the working folder
    for a packaged recipe. Another build with this file makes the same decisions and produces the same bytes.

    \b
    Example:
      edgeprune build digits
      edgeprune build --target raspberry-pi-4 --device ssh://pi@kitchen
      edgeprune build --target rpi --target jetson --budget accuracy='drop 0.5%'
      edgeprune build --target raspberry-pi-5 --runtime litert
      edgeprune build --target arduino-nano-33-ble --budget arena_bytes=64KiB
      edgeprune build --target corstone-300-u55-128
      edgeprune build cifar10-resnet56 --data-dir cifar10 --budget macs=0.4
      edgeprune build --model net.py:make --weights net.safetensors \\
          --data net.py:data --input 1,3,224,224
      edgeprune build --target raspberry-pi-4 --epochs 20 --dry-run
      edgeprune build --epochs 20 --log tensorboard:runs --log csv:curves.csv
      edgeprune build --schedule iterative --set schedule.rounds=5
      torchrun --nproc-per-node 2 -m edgeprune build
    """
    base_recipe = chosen_recipe(recipe, RecipeOptions(**options))
    from edgeprune.pipeline import check_output, check_targets
    from edgeprune.report import build_summary

    selected_targets = _targets(targets, runtime)
    check_targets(base_recipe.budget, selected_targets)
    if device is not None and len(selected_targets) > 1:
        raise click.UsageError(
            f"--device needs a single --target: got {', '.join(target.name for target in selected_targets)}"
        )
    options_of_build = {"output": output, "cache": cache, "device": device, "update_lock": update_lock, "force": force}
    if dry_run:
        build_forecast.show(base_recipe, selected_targets, as_json=as_json, **options_of_build)
        return 0
    if not force:
        for target in selected_targets:
            check_output(base_recipe, target, output)
    results: list[tuple[BuildOutcome, BuildResult | None]] = []
    for target in selected_targets:
        if len(selected_targets) > 1 and is_first():
            echo(target.name, err=True)
        try:
            target_recipe = base_recipe.for_target(*target.labels)
            results.append(_built(target_recipe, target, logs=logs, **options_of_build))
        except EdgePruneError as error:  # the builds for other targets continue
            if len(selected_targets) == 1:
                raise
            if is_first():
                print_error(f"{target.name}: {error}")
            results.append((build_summary.BuildOutcome(target.name, error.exit_code, str(error)), None))
    if not is_first():
        return 0
    outcomes = [outcome for outcome, _ in results]
    worst = max(outcome.exit_code for outcome in outcomes)
    if as_json:
        reports = [_report(outcome, result) for outcome, result in results]
        print_json(reports[0] if len(reports) == 1 else {"targets": reports, "exit_code": worst})
    else:
        for _, result in results:
            if result is not None:
                _print(result)
        if len(outcomes) > 1:
            print_rich(build_summary.render(outcomes))
    github_actions.summarise(lambda: build_summary.markdown(outcomes))
    for outcome in outcomes:
        if outcome.finished is not None and outcome.error is not None:
            print_error(outcome.error if len(outcomes) == 1 else f"{outcome.target}: {outcome.error}")
    return worst


def _targets(names: tuple[str, ...], runtime: str | None) -> list[Target]:
    """Return the targets without duplicates, also if one is named by two of its aliases."""
    from edgeprune.config import Target

    targets = [Target.load(name) for name in names]
    if runtime is not None:
        targets = [target.with_runtime(runtime) for target in targets]
    return list({target.name: target for target in targets}.values())


def _built(
    recipe: Recipe,
    target: Target,
    **options: Any,
) -> tuple[BuildOutcome, BuildResult]:
    from edgeprune.bundle.budget_check import missed
    from edgeprune.pipeline import build, lock_file
    from edgeprune.report.budget_output import sentence
    from edgeprune.report.build_summary import BuildOutcome, FinishedBuild
    from edgeprune.report.regression_limits import ACCURACY
    from edgeprune.report.result_warnings import ways_to_more_accuracy

    with BuildProgress() if is_first() else nullcontext() as screen:
        result = build(
            recipe,
            target,
            lock=lock_file.path_of(recipe),
            watcher=screen,
            **options,
        )
    finished = FinishedBuild(result.manifest, result.profile, result.budgets)
    failed = [sentence(report, result.manifest.metric) for report in missed(result.budgets)]
    if not failed:
        return BuildOutcome(target.name, finished=finished), result
    error = f"budget missed: {'; '.join(failed)}"
    if any(report.name == ACCURACY for report in missed(result.budgets)):
        error += f"; try {', or '.join(ways_to_more_accuracy(result.manifest))}"
    return BuildOutcome(target.name, BudgetError.exit_code, error, finished), result


def _print(result: BuildResult) -> None:
    from edgeprune.report import budget_output, build_table, candidate_table, training_text

    candidates = candidate_table.render(result.manifest)
    if candidates is not None:
        print_rich(candidates)
    print_rich(build_table.render(result.manifest, result.profile))
    if (report := result.manifest.training) is not None:
        print_text(
            "; ".join(filter(None, (f"training: {training_text.settings(report)}", training_text.advice(report))))
        )
    print_rich(budget_output.render(result.budgets, result.manifest.metric))
    echo(f"bundle: {result.folder}\n        {result.archive}")
    for warning in result.warnings:
        print_warning(warning.sentence)


def _report(outcome: BuildOutcome, result: BuildResult | None) -> dict[str, Any]:
    """Return the JSON values of the build for one target."""
    from edgeprune.report.build_table import rows

    values: dict[str, Any] = {"target": outcome.target, "exit_code": outcome.exit_code, "error": outcome.error}
    if result is None:
        return values
    return {
        **values,
        "folder": str(result.folder),
        "archive": str(result.archive),
        "stages": [dataclasses.asdict(stage) for stage in result.stages],
        "warnings": [dataclasses.asdict(warning) for warning in result.warnings],
        "budgets": [report.model_dump(mode="json") for report in result.budgets],
        "manifest": result.manifest.model_dump(mode="json"),
        "table": [dataclasses.asdict(row) for row in rows(result.manifest, result.profile)],
    }
