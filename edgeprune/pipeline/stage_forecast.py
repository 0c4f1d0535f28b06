"""Dry run of a build: its stages in order, and whether their results are in the cache. Nothing is run or stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgeprune.pipeline import fingerprint
from edgeprune.pipeline.build_context import BuildContext
from edgeprune.pipeline.build_inputs import InputTracker
from edgeprune.pipeline.build_settings import BuildSettings
from edgeprune.pipeline.input_digests import INPUT_TITLES
from edgeprune.pipeline.lock_file import Lock
from edgeprune.pipeline.stage import Results, Stage
from edgeprune.pipeline.stage_cache import Cache, EarlierRun
from edgeprune.pipeline.stage_result import StageResult
from edgeprune.pipeline.stage_runner import cached_result, foreign_backend, key_for_later_stages, origin_of
from edgeprune.pipeline.stages import STAGES, finetune_pruned, prune_while_training

_SHOWN_NAMES = 2
_FIRST = "first run"


@dataclass(frozen=True)
class StageForecast:
    """Forecast of what a build does with one stage.

    Attributes:
        name: Name of the stage.
        title: Title of the stage in progress and reports.
        state: ``cached``; ``runs``; or ``may run``, if an earlier stage runs whose result may be the same as before.
        seconds: Duration of the latest run for the same recipe, on the same target if there is one; None if the cache
            has none.
        reason: Why the stage runs; empty for a cached stage.
    """

    name: str
    title: str
    state: Literal["cached", "runs", "may run"]
    seconds: float | None
    reason: str


def forecast(settings: BuildSettings, store: Cache, lock: Lock) -> tuple[StageForecast, ...]:
    """Return what a build with these settings, cache and lock does with each stage, in order.

    Raises:
        InputError: See ``build``, for the checks that need neither network nor data.
    """
    return _Forecast(settings, store, lock).stages()


class _Forecast:
    """Keys and results of the stages whose results are in the cache."""

    def __init__(self, settings: BuildSettings, store: Cache, lock: Lock) -> None:
        self._context = BuildContext(settings, lock)
        self._store = store
        self._results = Results()
        self._keys: dict[type[StageResult], str] = {}
        self._unknown: dict[type[StageResult], StageForecast] = {}
        self._foreign_backend = foreign_backend(settings.target, store.root)
        self._tracker = InputTracker(settings.recipe, store.root)

    def stages(self) -> tuple[StageForecast, ...]:
        return tuple(self._stage(stage) for stage in STAGES if self._is_needed(stage))

    def _is_needed(self, stage: Stage[Any]) -> bool:
        try:
            return stage.is_needed(self._results)
        except KeyError:  # it depends on a stage that runs
            planned = finetune_pruned.STAGE if self._context.schedule.plans_ahead else prune_while_training.STAGE
            return stage is planned

    def _stage(self, stage: Stage[Any]) -> StageForecast:
        earlier = self._store.latest_run(stage.name, self._context.recipe, self._context.target)
        running = [self._unknown[kind] for kind in stage.depends_on if kind in self._unknown]
        if running:
            return self._dependent(stage, running, earlier)
        if stage.reads_inputs:
            inputs = self._tracker.unloaded()
            if inputs is None:
                return self._running(stage, "runs", earlier, "; ".join(self._tracker.changes) or _FIRST)
            self._context.inputs = inputs.digests
        origin = origin_of(stage, self._context, self._keys, self._foreign_backend)
        key = fingerprint.digest(origin)[:20]
        entry = f"{stage.name}-{key}"
        cached = cached_result(stage, entry, self._context, self._store)
        if cached is None:
            is_stored = self._store.find(entry, stage.result) is not None
            return self._running(
                stage, "runs", earlier, self._outside(stage) if is_stored else _changes(origin, earlier)
            )
        self._keys[stage.result] = key_for_later_stages(stage, self._context, key, cached.result, self._keys)
        self._results.add(cached.result)
        return StageForecast(stage.name, stage.title, "cached", cached.seconds, "")

    def _dependent(self, stage: Stage[Any], running: list[StageForecast], earlier: EarlierRun | None) -> StageForecast:
        """Return the forecast of a stage that reads results of stages that run."""
        if earlier is None:
            return self._running(stage, "runs", None, _FIRST)
        is_certain = any(one.state == "runs" and one.name not in _BY_CONTENT for one in running)
        reason = f"after {_listed([one.title for one in running])}"
        return self._running(stage, "runs" if is_certain else "may run", earlier, reason)

    def _running(
        self, stage: Stage[Any], state: Literal["runs", "may run"], earlier: EarlierRun | None, reason: str
    ) -> StageForecast:
        seconds = None if earlier is None else earlier.seconds
        forecast = StageForecast(stage.name, stage.title, state, seconds, reason)
        self._unknown[stage.result] = forecast
        return forecast

    def _outside(self, stage: Stage[Any]) -> str:
        """Return why a stored result is not valid."""
        if self._context.lock.update:
            return "--update-lock"
        return "bundle in the output folder" if stage is STAGES[-1] else "other values in edgeprune.lock"


_BY_CONTENT = {stage.name for stage in STAGES if stage.content is not None}
"""Stages whose results may be the same as before when they run again, so that later stages remain valid."""


def _changes(origin: Mapping[str, Any], earlier: EarlierRun | None) -> str:
    """Return what differs from an earlier run, such as "settings: training.epochs"."""
    if earlier is None:
        return _FIRST
    now, before = origin, earlier.origin
    parts = []
    if now["inputs"] != before["inputs"]:
        names = _different(now["inputs"] or {}, before["inputs"] or {})
        parts.append(f"inputs: {_listed([INPUT_TITLES.get(name, name) for name in names])}")
    if now["settings"] != before["settings"]:
        parts.append(f"settings: {_listed(_different(_flat(now['settings']), _flat(before['settings'])))}")
    if now["packages"] != before["packages"]:
        parts.append(f"packages: {_listed(_different(now['packages'], before['packages']))}")
    if (now["sources"], now["backend"]) != (before["sources"], before["backend"]):
        parts.append("code of EdgePrune")
    if now["device"] != before["device"]:
        parts.append("device")
    if now["after"] != before["after"]:
        parts.append("results of earlier stages")
    return "; ".join(parts) or "result was removed"


def _different(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [name for name in dict.fromkeys((*one, *other)) if one.get(name) != other.get(name)]


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings by dotted key."""
    return dict(_items(settings, ""))


def _items(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _items(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more
