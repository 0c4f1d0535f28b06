"""``build``: a recipe and a target in, a bundle out; every stage is cached by the content it depends on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeprune import backends, devices
from edgeprune.bundle import pack
from edgeprune.bundle.budget_check import combined, missed
from edgeprune.bundle.manifest import BudgetReport, Manifest
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
from edgeprune.pipeline.stage_runner import StageReport, StageRunner
from edgeprune.pipeline.stages import STAGES, write_bundle
from edgeprune.profile import Profile
from edgeprune.report.regression_limits import ACCURACY
from edgeprune.report.result_warnings import ResultWarning, budget_use, result_warnings

_FULLY_USED = 0.97
"""Fraction of the tightest budget that selections aim to use at least."""


@dataclass(frozen=True)
class BuildResult:
    """Result of a build.

    Attributes:
        manifest: What the bundle says of itself: files, metrics, parity, profile, budgets, provenance.
        profile: Latency and memory of the dense and the pruned network; without models for a microcontroller, as this
            machine can measure neither.
        folder: The bundle.
        archive: The same as one ``.tar.gz``.
        stages: Every stage in order.
        budgets: Verdicts on all limits: those of the manifest, and those on what was measured.
        warnings: Warnings about accuracy that was lost and budget that was left.
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
) -> BuildResult:
    """Prune, fine-tune, export, check, measure and pack the network of ``recipe`` for ``target``.

    Stages whose inputs did not change are taken from ``cache``. A build that was killed resumes where it was,
    training after its last checkpoint, and ends with the same weights bit for bit on a CPU. Where ``torchrun`` started
    several processes all train together, and the first does the rest. Where the accuracy budget is missed and other
    budget is left, the network is pruned again with any number of channels, and the more accurate result is kept.

    Args:
        recipe: A Recipe, or what ``Recipe.load`` takes.
        target: A Target, or what ``Target.load`` takes.
        output: Folder for the bundle ``<recipe>-<target>/`` and its archive.
        cache: Folder for stage results.
        lock: File of what was found by measuring, and is repeated; it is made where it is not. None: measured anew.
        update_lock: Measure anew, and write it into ``lock``.
        device: Where models are measured: a device, its URI, or its name in ``devices.toml``; None: this machine. What
            is measured on another kind of processor than the target's decides nothing.
        force: Replace the bundle's folder and archive whatever they hold. By default, the build refuses to replace
            anything but an earlier bundle.
        watcher: Told of each stage as it begins and ends.

    Raises:
        InputError: The model, weights, data, recipe or target cannot be used, or not together (exit code 3).
        BudgetError: The budget cannot be reached; names the closest value that can (4). A budget of accuracy or of a
            measurement that is missed is no error here: see ``budgets``.
        DeviceError: The device cannot be reached, or fails (5).
        MeasurementError: What was measured on it is not valid (6).
        EquivalenceError, ParityError: The pruned or the exported network does not compute what it must (7).
    """
    target = target if isinstance(target, Target) else Target.load(target)
    recipe = _for_target(recipe if isinstance(recipe, Recipe) else Recipe.load(recipe), target)
    pack.source_date_epoch()  # what is wrong with it is told now
    if not force:
        check_output(recipe, target, output)
    hint_at_wait_policy()
    watcher = watcher or SilentObserver()
    store = Cache(Path(cache))
    measured_on = _device(device, target)
    findings = Lock(None if lock is None else Path(lock), recipe.name, update=update_lock)

    def attempt(recipe: Recipe) -> StageRunner:
        settings = BuildSettings(recipe, target, Path(output).resolve(), measured_on, force=force)
        runner = StageRunner(BuildContext(settings, findings), store, watcher)
        watcher.expect(len({stage.result for stage in STAGES}))
        for stage in STAGES:
            if stage is not write_bundle.STAGE and stage.applies(runner.results):
                runner.run(stage)
        return runner

    chosen = attempt(recipe)
    looser = _pruning_less(recipe, target, chosen.results)
    if looser is not None:
        watcher.note("the accuracy budget is missed and budget is left: building again with any number of channels")
        second = attempt(looser)
        if _shipped_accuracy(second.results) >= _shipped_accuracy(chosen.results):
            chosen = second
        else:
            watcher.note("the first plan is more accurate: packing it")
            watcher.expect(1)
    return _pack(chosen)


def _pruning_less(recipe: Recipe, target: Target, results: Results) -> Recipe | None:
    """The recipe with any number of channels, not only those that the target prefers; None if that cannot help.

    It can help if the accuracy budget is missed and more than 3 % of the tightest other budget is unused.

    Args:
        recipe: The recipe of a build.
        target: Its target.
        results: Results of all its stages but the one that packs.
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
    """Pack the bundle, write the lock, and read what was packed."""
    settings, lock = runner.context.settings, runner.context.lock
    runner.run(write_bundle.STAGE)
    for findings in runner.findings:  # they replace those of another attempt
        lock.keep(findings)
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
    """Check that a build of ``recipe`` for ``target`` replaces nothing in ``output`` but an earlier bundle.

    Raises:
        BundleError: Other files would be lost; names them.
    """
    folder = bundle_folder(recipe, target, Path(output).resolve())
    check_replaceable(folder, pack.archive_of(folder))


def check_targets(budget: RecipeBudget, targets: Sequence[Target]) -> None:
    """Tell limits of a target that is neither one of ``targets`` nor known by name.

    Raises:
        RecipeError: There are some.
    """
    labels = {label for target in targets for label in target.labels}
    budget.check_targets(lambda name: name in labels or Target.is_known(name), sorted({*labels, *Target.names()}))


def _for_target(recipe: Recipe, target: Target) -> Recipe:
    """The recipe with the budget of ``target``, checked for limits that cannot be kept, before anything is done.

    Raises:
        RecipeError: A limit cannot be kept on this target.
        TargetError: A latency is limited, and nothing predicts it.
    """
    check_targets(recipe.budget, [target])
    recipe = recipe.for_target(*target.labels)
    recipe.budget.check_evidence()
    backend = backends.for_target(target)
    if not target.limits and recipe.budget.arena_bytes is not None:
        raise RecipeError(
            f"'budget.arena_bytes': {target.name} runs {backend.title}, which has no arena: TFLite Micro has, on "
            "microcontrollers; set budget.peak_activation_bytes instead"
        )
    if "latency_ms" in recipe.budget.aims.costs and target.ms_per_mac is None:
        target.require_latency_table()
    accuracy, training = recipe.budget.accuracy, recipe.training
    if isinstance(accuracy, float | int) and accuracy > 1 and training.metric is None:
        raise RecipeError(
            f"'budget.accuracy': got {accuracy}, must be a share of the samples such as 0.985, '98.5%' or 'drop 0.5%'"
        )
    return recipe


def _device(given: Device | str | None, target: Target) -> Device:
    """Device on which models are measured.

    Raises:
        InputError: There is no such device, or the models of ``target`` are not measured in a build.
        DeviceError: It is known not to be there.
    """
    if given is None:
        return Local()
    backend = backends.for_target(target)
    if backend.host is not backend:
        raise InputError(
            f"device: what ships to {target.name} is not chosen by a measurement in the build: measure the bundle, by "
            "'edgeprune profile BUNDLE --device URI'"
        )
    return devices.device(given) if isinstance(given, str) else given
