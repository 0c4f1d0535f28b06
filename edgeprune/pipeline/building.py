"""``build``: a recipe and a target in, a bundle out; every stage is cached by the content it depends on."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeprune import backends, devices, files
from edgeprune.bundle import pack
from edgeprune.bundle.manifest import BudgetReport, Manifest
from edgeprune.bundle.measured import Measured
from edgeprune.bundle.replaceable import check_replaceable
from edgeprune.bundle.verdicts import combined, missed
from edgeprune.config import Recipe, RecipeBudget, Target
from edgeprune.devices import Device, Local
from edgeprune.errors import InputError, RecipeError
from edgeprune.launch import hint_at_wait_policy, is_first, started_processes
from edgeprune.pipeline import fingerprint
from edgeprune.pipeline.cache import Cache, Finished
from edgeprune.pipeline.import_closure import ImportClosure
from edgeprune.pipeline.inputs import InputTracker
from edgeprune.pipeline.job import PROFILE, Job, bundle_folder, preferred_alignment
from edgeprune.pipeline.lock import Lock
from edgeprune.pipeline.stage import Findings, Space, Stage, Unwatched, Watcher
from edgeprune.pipeline.stage_sources import stage_sources
from edgeprune.pipeline.stages import bundle, stages_of
from edgeprune.pipeline.stages.load import load_inputs
from edgeprune.profile import Profile
from edgeprune.progress import Progress
from edgeprune.report.rules import ACCURACY
from edgeprune.report.warnings import ResultWarning, budget_use, result_warnings

logger = logging.getLogger(__name__)

_FULLY_USED = 0.97
"""Fraction of the tightest budget that selections aim to use at least."""

_BACKENDS = "backends/base.py"
"""Source of every stage that uses the target's backend."""

_Finish = Callable[[Stage, str, Job, Cache, Progress], tuple[Finished, bool]]


@dataclass(frozen=True)
class StageReport:
    """How one stage went.

    Attributes:
        name: Of the stage.
        seconds: It took when it ran.
        cached: It was taken from the cache.
    """

    name: str
    seconds: float
    cached: bool


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
    watcher: Watcher | None = None,
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
        ProofError, ParityError: The pruned or the exported network does not compute what it must (7).
    """
    target = target if isinstance(target, Target) else Target.load(target)
    recipe = _for_target(recipe if isinstance(recipe, Recipe) else Recipe.load(recipe), target)
    pack.source_date_epoch()  # what is wrong with it is told now
    if not force:
        check_output(recipe, target, output)
    hint_at_wait_policy()
    watcher = watcher or Unwatched()
    store = Cache(Path(cache))
    finish = _finish if started_processes() == 1 else _finish_together
    there = _device(device, target)
    findings = Lock(None if lock is None else Path(lock), recipe.name, update=update_lock)

    def attempt(recipe: Recipe) -> _Attempt:
        job = Job(recipe, target, output=Path(output).resolve(), lock=findings, device=there, force=force)
        found = _Attempt(job, store, watcher, finish)
        found.run_to_bundle()
        return found

    chosen = attempt(recipe)
    looser = _pruning_less(chosen.job)
    if looser is not None:
        watcher.note("the accuracy budget is missed and budget is left: building again with any number of channels")
        second = attempt(looser)
        if _shipped_accuracy(second.job) >= _shipped_accuracy(chosen.job):
            chosen = second
        else:
            watcher.note("the first plan is more accurate: packing it")
            watcher.expect(1)
    return chosen.pack()


def _pruning_less(job: Job) -> Recipe | None:
    """The recipe with any number of channels, not only those that the target prefers; None if that cannot help.

    It can help if the accuracy budget is missed and more than 3 % of the tightest other budget is unused.

    Args:
        job: A build of which all stages but the packing are finished.
    """
    if preferred_alignment(job.recipe, job.target) == 1:
        return None
    budgets = bundle.budgets(job)
    use = budget_use(budgets)
    inaccurate = any(report.name == ACCURACY for report in missed(budgets))
    return job.recipe.override({"prune.align": 1}) if inaccurate and use is not None and use[1] < _FULLY_USED else None


def _shipped_accuracy(job: Job) -> float:
    accuracy = job.value("evaluate-shipped")["accuracy"]
    return -math.inf if accuracy is None else float(accuracy)


class _Attempt:
    """A build of one recipe, which is packed only if it is the last one, or the more accurate one of two.

    Args:
        job: Build context.
        store: Cache of stage results.
        watcher: Follows the stages.
        finish: Runs a stage or takes its result from ``store``.
    """

    def __init__(self, job: Job, store: Cache, watcher: Watcher, finish: _Finish) -> None:
        self.job = job
        self._store = store
        self._watcher = watcher
        self._finish = finish
        self._keys: dict[str, str] = {}
        self._reports: list[StageReport] = []
        self._findings: list[Findings] = []
        self._foreign_backend = _foreign_backend(job.target, store.root)
        self._changes: list[str] = []
        """Changes of the inputs that were not reported to the watcher yet, as no stage ran again so far."""

    def run_to_bundle(self) -> None:
        """Run or reuse every stage but the one that packs."""
        stages = stages_of(self.job.recipe)
        self._watcher.expect(len(stages))
        for stage in stages:
            if stage is not bundle.STAGE:
                self._run(stage)

    def pack(self) -> BuildResult:
        """Pack the bundle, write the lock, and read what was packed."""
        job = self.job
        self._run(bundle.STAGE)
        for found in self._findings:  # they replace those of another attempt
            job.lock.keep(found)
        if is_first():
            job.lock.save()
        profile = Profile.load(job.file("profile", PROFILE))
        manifest = Manifest.load(job.bundle_folder)
        budgets = combined(manifest.budgets, Measured.load(job.bundle_folder).budgets)
        return BuildResult(
            manifest, profile, job.bundle_folder, job.archive, tuple(self._reports), budgets, result_warnings(manifest)
        )

    def _run(self, stage: Stage) -> None:
        job, store, watcher, keys = self.job, self._store, self._watcher, self._keys
        progress = watcher.begin(stage)
        loading_s = 0.0
        if stage.reads_inputs:
            loading_s, self._changes = _read_inputs(job, store)
        key = _key(stage, job, keys, self._foreign_backend)
        if self._changes and store.find(f"{stage.name}-{key}") is None:
            for change in self._changes:
                watcher.note(change)
            self._changes = []
        finished, cached = self._finish(stage, f"{stage.name}-{key}", job, store, progress)
        found = stage.found(job, finished.values)
        if found:
            self._findings.append(found)
            job.lock.keep(found)
            content = sorted((list(table), dict(values)) for table, values in found.items())
            key = fingerprint.digest([key, content])[:20]
        for name in (stage.name, *stage.stands_for):
            keys[name] = _content_key(stage, keys, finished) if stage.by_content else key
            job.results[name] = finished
        seconds = finished.seconds if cached else finished.seconds + loading_s
        self._reports.append(StageReport(stage.name, seconds, cached))
        watcher.end(stage, seconds=seconds, cached=cached)


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


def _read_inputs(job: Job, store: Cache) -> tuple[float, list[str]]:
    """Set ``job.inputs``; returns the seconds it took, and what changed since the last build."""
    started = time.perf_counter()
    tracker = InputTracker(job.recipe, store.root)
    if started_processes() == 1:
        job.inputs = tracker.resolve(lambda: load_inputs(job)).digests
    else:  # the first process decides, as data that are drawn at random differ from process to process
        from edgeprune.training import processes

        team = processes()
        job.inputs = team.tell(tracker.resolve(lambda: load_inputs(job)).digests if team.first else None)
    return time.perf_counter() - started, tracker.changes


def _foreign_backend(target: Target, root: Path) -> dict[str, str]:
    """Files and packages of a target's backend that another package registers; nothing for a backend of EdgePrune.

    Args:
        target: The target of the build.
        root: Folder of the cache.
    """
    backend = type(backends.for_target(target))
    if backend.__module__.startswith("edgeprune."):
        return {}
    closure = ImportClosure(f"{backend.__module__}:{backend.__name__}", Path.cwd())
    return closure.digests(fingerprint.Hashes(root / "hashes.json"), Path.cwd())


def _key(stage: Stage, job: Job, keys: Mapping[str, str], foreign_backend: Mapping[str, str]) -> str:
    """Key of the result of ``stage`` in the cache; ``keys`` has those of the stages before, by name."""
    sources = stage_sources(stage.run.__module__)
    return fingerprint.digest(
        {
            "stage": stage.name,
            "sources": dict(sources.files),
            "packages": fingerprint.packages(sources.imports),
            "backend": dict(foreign_backend) if _BACKENDS in sources.files else None,
            "settings": dict(stage.settings(job.recipe, job.target)),
            "inputs": dict(job.inputs) if stage.reads_inputs else None,
            "device": job.device.uri if stage.reads_device else None,
            "after": [keys[name] for name in stage.after],
        }
    )[:20]


def _content_key(stage: Stage, keys: dict[str, str], finished: Finished) -> str:
    if callable(stage.by_content):
        content = stage.by_content(finished)
    else:
        content = [
            dict(finished.values),
            {path: files.sha256(finished.folder / path) for path in finished.files},
        ]
    return fingerprint.digest([stage.name, [keys[name] for name in stage.after], content])[:20]


def _finish_together(stage: Stage, entry: str, job: Job, store: Cache, progress: Progress) -> tuple[Finished, bool]:
    """``_finish`` for several processes: the first stores, the others take part where they must, and read."""
    from edgeprune.training import processes

    team = processes()
    ready = team.tell(_serves(stage, store.find(entry), job))
    if team.first:
        finished = _finish(stage, entry, job, store, progress)
        team.wait()
        return finished
    if stage.together and not ready:
        with tempfile.TemporaryDirectory() as thrown_away:
            stage.run(job, Space(Path(thrown_away), store.kept(entry), progress))
    team.wait()
    found = store.find(entry)
    if found is None:
        raise InputError(
            f"process {team.rank} does not find {entry} in {store.root}: all processes must see the same cache folder"
        )
    return found, True


def _finish(stage: Stage, entry: str, job: Job, store: Cache, progress: Progress) -> tuple[Finished, bool]:
    found = store.find(entry)
    if found is None or not _serves(stage, found, job):
        with store.locked(entry):
            found = store.find(entry)  # another build may have made it while this one waited
            if found is None or not _serves(stage, found, job):
                out, keep = store.start(entry)
                started = time.perf_counter()
                values = stage.run(job, Space(out, keep, progress))
                finished = store.store(entry, values, time.perf_counter() - started)
                logger.info("%s: %.2f s", stage.name, finished.seconds)
                return finished, False
    logger.info("%s: cached", stage.name)
    return found, True


def _serves(stage: Stage, found: Finished | None, job: Job) -> bool:
    """Whether a result from the cache may be taken: it is what the lock says, and was not told by the one to update."""
    if found is None or not stage.holds(job, found.values):
        return False
    measured = stage.found(job, found.values)
    if job.lock.update:
        return not (measured and found.values.get("locked", False))
    return job.lock.agrees(measured)
