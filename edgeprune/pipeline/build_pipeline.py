"""Build a bundle from a recipe and a target. Each stage is cached by the content that it depends on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeprune import backends, devices
from edgeprune.bundle import pack
from edgeprune.bundle.budget_check import combined, missed
from edgeprune.bundle.budget_report import BudgetReport
from edgeprune.bundle.manifest import Manifest
from edgeprune.bundle.measurements import Measurements
from edgeprune.bundle.replacement_check import check_replaceable
from edgeprune.config import Recipe, RecipeBudget, Target
from edgeprune.devices import Device, Local
from edgeprune.distributed_env import hint_at_wait_policy, is_first
from edgeprune.errors import InputError, RecipeError
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.build_settings import BuildSettings, bundle_folder, preferred_alignment
from edgeprune.pipeline.lock_file import Lock
from edgeprune.pipeline.results.deployment_results import ProfileResult, ShippedEvaluationResult
from edgeprune.pipeline.stage import BuildObserver, Results, SilentObserver
from edgeprune.pipeline.stage_cache import Cache
from edgeprune.pipeline.stage_forecast import StageForecast, forecast
from edgeprune.pipeline.stage_runner import StageReport, StageRunner
from edgeprune.pipeline.stages import STAGES, write_bundle
from edgeprune.pipeline.training_log import LoggingObserver, training_logs
from edgeprune.profile import Profile
from edgeprune.report.regression_limits import ACCURACY
from edgeprune.report.result_warnings import ResultWarning, budget_use, result_warnings

_FULLY_USED = 0.97
"""Fraction of the tightest budget that selections aim to use at least."""


@dataclass(frozen=True)
class BuildResult:
    """Result of a build.

    Attributes:
        manifest: Manifest of the bundle: files, metrics, parity, profile, budgets, provenance.
        profile: Latency and memory of the dense and the pruned network. It has no models for a microcontroller, which
            this machine cannot measure.
        folder: Folder of the bundle.
        archive: Archive of the bundle (``.tar.gz``).
        stages: Reports of all stages in order.
        budgets: Results of all budget checks, counted and measured.
        warnings: Warnings about lost accuracy and unused budget.
    """

    manifest: Manifest
    profile: Profile
    folder: Path
    archive: Path
    stages: tuple[StageReport, ...]
    budgets: tuple[BudgetReport, ...]
    warnings: tuple[ResultWarning, ...] = ()


def build(
    recipe: Recipe | str | Path = "digits",
    target: Target | str | Path = "host",
    *,
    output: Path | str = "dist",
    cache: Path | str = ".edgeprune",
    lock: Path | str | None = None,
    update_lock: bool = False,
    device: Device | str | None = None,
    force: bool = False,
    watcher: BuildObserver | None = None,
    logs: Sequence[str] = (),
) -> BuildResult:
    """Prune, fine-tune, export, check, measure and pack the network of ``recipe`` for ``target``.

    Stages whose inputs did not change are read from ``cache``. An interrupted build resumes; training continues from
    its last checkpoint and ends, on a CPU, with bit-identical weights. If ``torchrun`` started several processes, all
    of them train together, and the first one runs the other stages. If the accuracy budget is missed and other budget
    is unused, the network is pruned again with any number of channels, and the more accurate result is kept.

    Args:
        recipe: A Recipe, or an argument of ``Recipe.load``.
        target: A Target, or an argument of ``Target.load``.
        output: Folder for the bundle ``<recipe>-<target>/`` and its archive.
        cache: Folder for stage results.
        lock: File of measured values that later builds reuse; created if it does not exist. None: measure again.
        update_lock: Measure again, and write the values into ``lock``.
        device: Device on which models are measured: a device, its URI, or its name in ``devices.toml``. Defaults to
            this machine. Latency measured on another type of processor than the target's decides nothing.
        force: Replace the folder and the archive of the bundle whatever they contain. By default, the build replaces
            only an earlier bundle.
        watcher: Observer of the start and the end of each stage.
        logs: Logs of the training curves: ``tensorboard:DIR`` or ``csv:FILE``. They do not change results or the cache.

    Raises:
        InputError: The model, weights, data, recipe or target cannot be used, alone or in combination (exit code 3).
        BudgetError: The budget cannot be reached; names the closest reachable value (4). A missed budget of accuracy or
            of a measured value does not raise: see ``budgets``.
        DeviceError: The device cannot be reached, or fails (5).
        MeasurementError: The measurements are not valid (6).
        EquivalenceError, ParityError: The pruned or the exported network has wrong outputs (7).
    """
    settings = _settings(recipe, target, output=output, device=device, force=force)
    hint_at_wait_policy()
    store = Cache(Path(cache))
    build_lock = Lock(None if lock is None else Path(lock), settings.recipe.name, update=update_lock)
    observer = watcher or SilentObserver()
    with training_logs(logs if is_first() else ()) as opened:
        if opened:
            run = settings.bundle_folder.name
            observer = LoggingObserver(observer, opened, run, settings.recipe.training)
        return _build(settings, store, build_lock, observer)


def _build(settings: BuildSettings, store: Cache, lock: Lock, watcher: BuildObserver) -> BuildResult:
    def attempt(recipe: Recipe) -> StageRunner:
        runner = StageRunner(BuildContext(replace(settings, recipe=recipe), lock), store, watcher)
        watcher.expect(len({stage.result for stage in STAGES}))
        for stage in STAGES:
            if stage is not write_bundle.STAGE and stage.is_needed(runner.results):
                runner.run(stage)
        return runner

    chosen = attempt(settings.recipe)
    relaxed = _relaxed_recipe(settings.recipe, settings.target, chosen.results)
    if relaxed is not None:
        watcher.note(
            "the accuracy budget is missed and other budget is unused: building again with any number of channels"
        )
        second = attempt(relaxed)
        if _shipped_accuracy(second.results) >= _shipped_accuracy(chosen.results):
            chosen = second
        else:
            watcher.note("the first plan is more accurate: packing it")
            watcher.expect(1)
    return _pack(chosen)


def dry_run(
    recipe: Recipe | str | Path = "digits",
    target: Target | str | Path = "host",
    *,
    output: Path | str = "dist",
    cache: Path | str = ".edgeprune",
    lock: Path | str | None = None,
    update_lock: bool = False,
    device: Device | str | None = None,
    force: bool = False,
) -> tuple[StageForecast, ...]:
    """Return which stages ``build`` would run with these arguments, in order, without running or storing anything.

    The arguments are those of ``build``. A second attempt with any number of channels, which follows from results, is
    not part of the forecast.

    Raises:
        InputError: The recipe, the target or the device cannot be used, or other files would be lost.
    """
    settings = _settings(recipe, target, output=output, device=device, force=force)
    build_lock = Lock(None if lock is None else Path(lock), settings.recipe.name, update=update_lock)
    return forecast(settings, Cache(Path(cache)), build_lock)


def _settings(
    recipe: Recipe | str | Path,
    target: Target | str | Path,
    *,
    output: Path | str,
    device: Device | str | None,
    force: bool,
) -> BuildSettings:
    """Return the settings of a build after the checks that need neither network nor data; see ``build``."""
    target = target if isinstance(target, Target) else Target.load(target)
    recipe = _for_target(recipe if isinstance(recipe, Recipe) else Recipe.load(recipe), target)
    pack.source_date_epoch()  # raises now if it is not valid
    if not force:
        check_output(recipe, target, output)
    return BuildSettings(recipe, target, Path(output).resolve(), _device(device, target), force=force)


def _relaxed_recipe(recipe: Recipe, target: Target, results: Results) -> Recipe | None:
    """Return the recipe without the channel multiples that the target prefers; None if that cannot help.

    It can help if the accuracy budget is missed and more than 3 % of the tightest other budget is unused.

    Args:
        recipe: Recipe of a build.
        target: Target of the build.
        results: Results of all stages except the one that writes the bundle.
    """
    if preferred_alignment(recipe, target) == 1:
        return None
    budgets = write_bundle.budgets(recipe, target, results.group(write_bundle.BuildResults))
    use = budget_use(budgets)
    inaccurate = any(report.name == ACCURACY for report in missed(budgets))
    return recipe.override({"prune.align": 1}) if inaccurate and use is not None and use[1] < _FULLY_USED else None


def _shipped_accuracy(results: Results) -> float:
    accuracy = results[ShippedEvaluationResult].accuracy
    return -math.inf if accuracy is None else accuracy


def _pack(runner: StageRunner) -> BuildResult:
    """Write the bundle and the lock, and return the result of the build."""
    settings, lock = runner.context.settings, runner.context.lock
    runner.run(write_bundle.STAGE)
    for lock_entries in runner.lock_entries:  # replaces the entries of another attempt
        lock.add(lock_entries)
    if is_first():
        lock.save()
    folder = settings.bundle_folder
    manifest = Manifest.load(folder)
    return BuildResult(
        manifest,
        Profile.load(runner.results[ProfileResult].profile),
        folder,
        settings.archive,
        tuple(runner.reports),
        combined(manifest.budgets, Measurements.load(folder).budgets),
        result_warnings(manifest),
    )


def check_output(recipe: Recipe, target: Target, output: Path | str) -> None:
    """Check that a build of ``recipe`` for ``target`` replaces only an earlier bundle in ``output``.

    Raises:
        BundleError: Other files would be lost; names them.
    """
    folder = bundle_folder(recipe, target, Path(output).resolve())
    check_replaceable(folder, pack.archive_of(folder))


def check_targets(budget: RecipeBudget, targets: Sequence[Target]) -> None:
    """Check that each limit by target is for one of ``targets`` or a known target.

    Raises:
        RecipeError: A limit names an unknown target.
    """
    labels = {label for target in targets for label in target.labels}
    budget.check_targets(lambda name: name in labels or Target.is_known(name), sorted({*labels, *Target.names()}))


def _for_target(recipe: Recipe, target: Target) -> Recipe:
    """Return the recipe with the budget of ``target``, after a check of its limits.

    Raises:
        RecipeError: A limit cannot be met on this target.
        TargetError: Latency is limited, and the target has no latency table.
    """
    check_targets(recipe.budget, [target])
    recipe = recipe.for_target(*target.labels)
    recipe.budget.check_evidence()
    backend = backends.for_target(target)
    if not target.limits and recipe.budget.arena_bytes is not None:
        raise RecipeError(
            f"'budget.arena_bytes': only TFLite Micro on microcontrollers has an arena, but {target.name} runs "
            f"{backend.title}: set budget.peak_activation_bytes instead"
        )
    if "latency_ms" in recipe.budget.pruning_targets.costs and target.ms_per_mac is None:
        target.require_latency_table()
    accuracy, training = recipe.budget.accuracy, recipe.training
    if isinstance(accuracy, float | int) and accuracy > 1 and training.metric is None:
        raise RecipeError(
            f"'budget.accuracy': got {accuracy}, must be a fraction of the samples such as "
            "0.985, '98.5%' or 'drop 0.5%'"
        )
    return recipe


def _device(device: Device | str | None, target: Target) -> Device:
    """Return the device on which models are measured.

    Raises:
        InputError: The device is unknown, or the models of ``target`` are not measured in a build.
        DeviceError: The device is not available.
    """
    if device is None:
        return Local()
    backend = backends.for_target(target)
    if backend.host is not backend:
        raise InputError(
            f"device: a build for {target.name} cannot measure models on a device: measure the bundle with "
            "'edgeprune profile BUNDLE --device URI'"
        )
    return devices.device(device) if isinstance(device, str) else device
