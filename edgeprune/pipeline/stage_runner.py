"""Run the stages of a build, or read their results from the cache."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeprune import backends
from edgeprune.config import Target
from edgeprune.distributed_env import started_processes
from edgeprune.errors import InputError
from edgeprune.pipeline import fingerprint
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.build_inputs import InputTracker
from edgeprune.pipeline.import_closure import ImportClosure
from edgeprune.pipeline.stage import BuildObserver, LockEntries, Results, Stage, StageDir
from edgeprune.pipeline.stage_cache import Cache, CachedResult
from edgeprune.pipeline.stage_result import ResultT, StageResult
from edgeprune.pipeline.stage_sources import stage_sources
from edgeprune.pipeline.stages.load_network import load_inputs
from edgeprune.progress import Progress

logger = logging.getLogger(__name__)

_BACKENDS = "backends/base.py"
"""Source of every stage that uses the target's backend."""


@dataclass(frozen=True)
class StageReport:
    """Report of one completed stage.

    Attributes:
        name: Name of the stage.
        seconds: Wall-clock duration of the run that produced the result.
        cached: Whether the result was read from the cache.
    """

    name: str
    seconds: float
    cached: bool


@dataclass(frozen=True)
class CacheEntry:
    """Cache entry of a stage.

    Attributes:
        name: Name of the entry.
        origin: What its key was computed from, and the names of the recipe and the target.
    """

    name: str
    origin: Mapping[str, Any]


class StageRunner:
    """Runner of the stages of one build. Each result is stored under a key of everything that it depends on.

    Args:
        context: Build context.
        store: Cache of stage results.
        watcher: Observer of the stages.

    Attributes:
        results: Results of the completed stages.
        reports: Reports of the completed stages, in order.
        lock_entries: Measured values of the completed stages.
    """

    def __init__(self, context: BuildContext, store: Cache, watcher: BuildObserver) -> None:
        self.context = context
        self.results = Results()
        self.reports: list[StageReport] = []
        self.lock_entries: list[LockEntries] = []
        self._store = store
        self._watcher = watcher
        self._keys: dict[type[StageResult], str] = {}
        self._foreign_backend = foreign_backend(context.target, store.root)
        self._changes: list[str] = []
        """Changes of the inputs that were not reported yet, as no stage ran again so far."""

    def run(self, stage: Stage[Any]) -> None:
        """Run ``stage``, or read its result from the cache."""
        context, store = self.context, self._store
        progress = self._watcher.begin(stage, lambda: store.expected_s(stage.name, context.recipe, context.target))
        loading_s = 0.0
        if stage.reads_inputs:
            loading_s, self._changes = _read_inputs(context, store)
        origin = origin_of(stage, context, self._keys, self._foreign_backend)
        key = fingerprint.digest(origin)[:20]
        entry = f"{stage.name}-{key}"
        if self._changes and store.find(entry, stage.result) is None:
            for change in self._changes:
                self._watcher.note(change)
            self._changes = []
        finish = _finish if started_processes() == 1 else _finish_distributed
        names = {"recipe": context.recipe.name, "target": context.target.name}
        finished, cached = finish(stage, CacheEntry(entry, {**names, **origin}), self, store, progress)
        result = finished.result
        lock_entries = stage.lock_entries(context, result)
        if lock_entries:
            self.lock_entries.append(lock_entries)
            context.lock.add(lock_entries)
        self._keys[stage.result] = key_for_later_stages(stage, context, key, result, self._keys)
        self.results.add(result)
        seconds = finished.seconds if cached else finished.seconds + loading_s
        self.reports.append(StageReport(stage.name, seconds, cached))
        self._watcher.end(stage, result, seconds=seconds, cached=cached)


def key_of(
    stage: Stage[Any],
    context: BuildContext,
    keys: Mapping[type[StageResult], str],
    foreign_backend: Mapping[str, str],
) -> str:
    """Return the cache key of the result of ``stage``, which is computed from its ``origin_of``."""
    return fingerprint.digest(origin_of(stage, context, keys, foreign_backend))[:20]


def origin_of(
    stage: Stage[Any],
    context: BuildContext,
    keys: Mapping[type[StageResult], str],
    foreign_backend: Mapping[str, str],
) -> dict[str, Any]:
    """Return everything that the result of ``stage`` depends on, as JSON values.

    Args:
        stage: The stage.
        context: Build context.
        keys: Keys of the results of earlier stages.
        foreign_backend: See ``foreign_backend``.
    """
    sources = stage_sources(stage.run.__module__, context.recipe.schedule.name)
    return {
        "stage": stage.name,
        "sources": dict(sources.files),
        "packages": fingerprint.packages(sources.imports),
        "backend": dict(foreign_backend) if _BACKENDS in sources.files else None,
        "settings": dict(stage.settings(context.recipe, context.target)),
        "inputs": dict(context.inputs) if stage.reads_inputs else None,
        "device": context.device.uri if stage.reads_device else None,
        "after": [keys[kind] for kind in stage.depends_on],
    }


def key_for_later_stages(
    stage: Stage[ResultT], context: BuildContext, key: str, result: ResultT, keys: Mapping[type[StageResult], str]
) -> str:
    """Return the key by which later stages depend on the result of ``stage``.

    Args:
        stage: The stage.
        context: Build context.
        key: Cache key of the result.
        result: Result of the stage.
        keys: Keys of the results of earlier stages.
    """
    content = None if stage.content is None else stage.content(result)
    if content is not None:
        return fingerprint.digest([stage.name, [keys[kind] for kind in stage.depends_on], content])[:20]
    lock_entries = stage.lock_entries(context, result)
    if not lock_entries:
        return key
    values = sorted((list(table), dict(values)) for table, values in lock_entries.items())
    return fingerprint.digest([key, values])[:20]


def foreign_backend(target: Target, root: Path) -> dict[str, str]:
    """Return the digests of a backend that another package registers; nothing for a backend of EdgePrune.

    Args:
        target: The target of the build.
        root: Folder of the cache.
    """
    backend = type(backends.for_target(target))
    if backend.__module__.startswith("edgeprune."):
        return {}
    closure = ImportClosure(f"{backend.__module__}:{backend.__name__}", Path.cwd())
    return closure.digests(fingerprint.Hashes(root / "hashes.json"), Path.cwd())


def _read_inputs(context: BuildContext, store: Cache) -> tuple[float, list[str]]:
    """Set ``context.inputs``; return the duration in seconds, and the changes since the last build."""
    started = time.perf_counter()
    tracker = InputTracker(context.recipe, store.root)
    if started_processes() == 1:
        context.inputs = tracker.resolve(lambda: load_inputs(context)).digests
    else:  # the first process decides, as random data differ between processes
        from edgeprune.training import process_group

        group = process_group()
        digests = tracker.resolve(lambda: load_inputs(context)).digests if group.first else None
        context.inputs = group.broadcast(digests)
    return time.perf_counter() - started, tracker.changes


def _finish(
    stage: Stage[ResultT], entry: CacheEntry, runner: StageRunner, store: Cache, progress: Progress
) -> tuple[CachedResult[ResultT], bool]:
    """Return the result of ``stage``, and whether it was read from the cache."""
    finished = cached_result(stage, entry.name, runner.context, store)
    if finished is None:
        with store.locked(entry.name):
            # Another build may have stored it meanwhile.
            finished = cached_result(stage, entry.name, runner.context, store)
            if finished is None:
                out, keep = store.start(entry.name)
                started = time.perf_counter()
                result = stage(runner.context, StageDir(out, keep, progress), runner.results)
                finished = store.store(entry.name, result, time.perf_counter() - started, entry.origin)
                logger.info("%s: %.2f s", stage.name, finished.seconds)
                return finished, False
    logger.info("%s: cached", stage.name)
    return finished, True


def _finish_distributed(
    stage: Stage[ResultT], entry: CacheEntry, runner: StageRunner, store: Cache, progress: Progress
) -> tuple[CachedResult[ResultT], bool]:
    """``_finish`` for several processes: the first one stores the result, and the others read it."""
    from edgeprune.training import process_group

    group = process_group()
    is_cached = group.broadcast(cached_result(stage, entry.name, runner.context, store) is not None)
    if group.first:
        result = _finish(stage, entry, runner, store, progress)
        group.barrier()
        return result
    if stage.all_processes and not is_cached:
        with tempfile.TemporaryDirectory() as discarded:
            stage(runner.context, StageDir(Path(discarded), store.checkpoints(entry.name), progress), runner.results)
    group.barrier()
    finished = store.find(entry.name, stage.result)
    if finished is None:
        raise InputError(
            f"process {group.rank}: {entry.name} does not exist in {store.root}: all processes must share the cache "
            "folder"
        )
    return finished, True


def cached_result(
    stage: Stage[ResultT], entry: str, context: BuildContext, store: Cache
) -> CachedResult[ResultT] | None:
    """Return the cached result if it is valid and matches the lock; else None.

    While the lock is being updated, a result that an earlier lock decided is not valid.
    """
    finished = store.find(entry, stage.result)
    if finished is None or not stage.is_valid(context, finished.result):
        return None
    lock_entries = stage.lock_entries(context, finished.result)
    valid = not (lock_entries and finished.result.locked) if context.lock.update else context.lock.matches(lock_entries)
    return finished if valid else None
