"""Interfaces of a stage of a build, and of the progress of a build."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, get_type_hints

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.stage_result import ResultT, StageResult
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeprune.pipeline.build_context import BuildContext

Findings = Mapping[tuple[str, ...], Mapping[str, Any]]
"""Measured values, by table of the lock: ``("training",)``, ``("targets", name)``."""

ResultsT = TypeVar("ResultsT")


@dataclass(frozen=True)
class StageDir:
    """Folders and progress bar of a stage.

    Attributes:
        out: Empty folder; the files in it at the end belong to the result.
        keep: Folder that the same stage finds again after a kill.
        progress: Its bar.
    """

    out: Path
    keep: Path
    progress: Progress


class Results:
    """Results of the stages that ended, by their classes."""

    def __init__(self) -> None:
        self._results: dict[type[StageResult], StageResult] = {}

    def add(self, result: StageResult) -> None:
        """Add the result of a stage."""
        self._results[type(result)] = result

    def __getitem__(self, kind: type[ResultT]) -> ResultT:
        result = self._results[kind]
        assert isinstance(result, kind)
        return result

    def group(self, kind: type[ResultsT]) -> ResultsT:
        """An object of the dataclass ``kind``, whose fields are results."""
        return kind(**{name: self[result] for name, result in _results_in(kind).items()})


@dataclass(frozen=True)
class Stage(Generic[ResultT]):
    """One step of a build.

    Attributes:
        name: Name of its cache entries.
        title: Name in progress and reports.
        run: Function that does the work. Its arguments are the build context, the space and, by annotation, the results
            that it reads: results of single stages, or a dataclass of several. The module it lies in, with all that
            this module imports, is the source of the stage: see ``stage_sources``.
        settings: Settings of the recipe and the target that it depends on, as JSON values.
        after: Further results that it depends on without reading them.
        reads_inputs: Whether it depends on the input files: code, weights, data.
        reads_device: Whether it depends on the device on which models are measured.
        together: Whether all processes that were started together run it; the first one alone runs other stages.
        applies: Whether it runs, by the results of earlier stages. Of stages with the same class of results, one does.
        content: Part of the result that later stages depend on, as JSON values. They are then shared by builds with the
            same content, whatever the settings were. None: they depend on the settings.
        holds: Whether a cached result is still valid, as far as files outside the cache decide it.
        findings: Measured values of the result that go into the lock and into the keys of later stages.
    """

    name: str
    title: str
    run: Callable[..., ResultT]
    settings: Callable[[Recipe, Target], Mapping[str, Any]] = lambda _recipe, _target: {}
    after: tuple[type[StageResult], ...] = ()
    reads_inputs: bool = False
    reads_device: bool = False
    together: bool = False
    applies: Callable[[Results], bool] = lambda _results: True
    content: Callable[[ResultT], Any] | None = None
    holds: Callable[[BuildContext, ResultT], bool] = lambda _context, _result: True
    findings: Callable[[BuildContext, ResultT], Findings] = lambda _context, _result: {}

    @cached_property
    def result(self) -> type[ResultT]:
        """Class of its result."""
        kind: type[ResultT] = get_type_hints(self.run)["return"]
        return kind

    @cached_property
    def reads(self) -> Mapping[str, type[Any]]:
        """Classes of the results that it reads, by name of the argument; one may be a dataclass of several results."""
        hints = get_type_hints(self.run)
        return {name: hints[name] for name in list(inspect.signature(self.run).parameters)[2:]}

    @cached_property
    def depends_on(self) -> tuple[type[StageResult], ...]:
        """Classes of all results that it depends on."""
        single = [result for kind in self.reads.values() for result in _results_in(kind).values()]
        return tuple(dict.fromkeys([*single, *self.after]))

    def __call__(self, context: BuildContext, space: StageDir, results: Results) -> ResultT:
        """Run the stage with what it reads of ``results``."""
        read = {
            name: results[kind] if issubclass(kind, StageResult) else results.group(kind)
            for name, kind in self.reads.items()
        }
        return self.run(context, space, **read)


def _results_in(kind: type[Any]) -> dict[str, type[StageResult]]:
    """Classes of single results in an argument's class, by name of the field."""
    if issubclass(kind, StageResult):
        return {"": kind}
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


class BuildObserver(Protocol):
    """Follows a build: it has so many stages, each begins and ends once unless it fails; notes come in between."""

    def expect(self, stages: int) -> None: ...

    def note(self, text: str) -> None: ...

    def begin(self, stage: Stage[Any]) -> Progress: ...

    def end(self, stage: Stage[Any], *, seconds: float, cached: bool) -> None: ...


class SilentObserver:
    """A Watcher that shows nothing: the default in Python."""

    def expect(self, stages: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def begin(self, stage: Stage[Any]) -> Progress:
        return SILENT

    def end(self, stage: Stage[Any], *, seconds: float, cached: bool) -> None:
        pass
