"""Interfaces of build stages and of build observers."""

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

LockEntries = Mapping[tuple[str, ...], Mapping[str, Any]]
"""Measured values, by table of the lock file: ``("training",)``, ``("targets", name)``."""

ResultsT = TypeVar("ResultsT")


@dataclass(frozen=True)
class StageDir:
    """Folders and progress bar of a stage.

    Attributes:
        out: Folder of the result files, empty at the start.
        keep: Folder of checkpoints, which remains if the stage is interrupted.
        progress: Progress bar.
    """

    out: Path
    keep: Path
    progress: Progress


class Results:
    """Results of the completed stages, by class."""

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
        """Return an instance of the dataclass ``kind``, whose fields are results."""
        return kind(**{name: self[result] for name, result in _results_in(kind).items()})


@dataclass(frozen=True)
class Stage(Generic[ResultT]):
    """One step of a build.

    Attributes:
        name: Name of the cache entries.
        title: Name in progress and reports.
        run: Function that computes the result. Its arguments are the build context, the ``StageDir`` and, by
            annotation, the results that it reads: results of single stages, or a dataclass of several. The module of
            the function and its imports are the sources of the stage; see ``stage_sources``.
        settings: Function that returns the settings of recipe and target that the result depends on, as JSON values.
        after: Further results that the stage depends on without reading them.
        reads_inputs: Whether the result depends on the input files: code, weights, data.
        reads_device: Whether the result depends on the device on which models are measured.
        all_processes: Whether all processes of a distributed build run the stage; otherwise only the first one does.
        is_needed: Function that returns whether the stage runs, given the results of earlier stages. Of stages with the
            same result class, exactly one runs.
        content: Function that returns the part of the result that later stages depend on, as JSON values. Builds with
            equal content share their results, whatever the settings. None: later stages depend on the settings.
        is_valid: Function that returns whether files outside the cache still match a cached result.
        lock_entries: Function that returns the measured values of the result. They are part of the lock file and of the
            cache keys of later stages.
    """

    name: str
    title: str
    run: Callable[..., ResultT]
    settings: Callable[[Recipe, Target], Mapping[str, Any]] = lambda _recipe, _target: {}
    after: tuple[type[StageResult], ...] = ()
    reads_inputs: bool = False
    reads_device: bool = False
    all_processes: bool = False
    is_needed: Callable[[Results], bool] = lambda _results: True
    content: Callable[[ResultT], Any] | None = None
    is_valid: Callable[[BuildContext, ResultT], bool] = lambda _context, _result: True
    lock_entries: Callable[[BuildContext, ResultT], LockEntries] = lambda _context, _result: {}

    @cached_property
    def result(self) -> type[ResultT]:
        """Class of the result."""
        kind: type[ResultT] = get_type_hints(self.run)["return"]
        return kind

    @cached_property
    def reads(self) -> Mapping[str, type[Any]]:
        """Classes of the results that the stage reads, by argument name. One may be a dataclass of several results."""
        hints = get_type_hints(self.run)
        return {name: hints[name] for name in list(inspect.signature(self.run).parameters)[2:]}

    @cached_property
    def depends_on(self) -> tuple[type[StageResult], ...]:
        """Classes of all results that the stage depends on."""
        single = [result for kind in self.reads.values() for result in _results_in(kind).values()]
        return tuple(dict.fromkeys([*single, *self.after]))

    def __call__(self, context: BuildContext, stage_dir: StageDir, results: Results) -> ResultT:
        """Run the stage with the members of ``results`` that it reads."""
        arguments = {
            name: results[kind] if issubclass(kind, StageResult) else results.group(kind)
            for name, kind in self.reads.items()
        }
        return self.run(context, stage_dir, **arguments)


def _results_in(kind: type[Any]) -> dict[str, type[StageResult]]:
    """Return the classes of the single results in the class of an argument, by field name."""
    if issubclass(kind, StageResult):
        return {"": kind}
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


class BuildObserver(Protocol):
    """Observer of a build.

    ``expect`` announces the number of stages. Each stage begins once and ends once, unless it fails. ``expected_s``
    returns the duration of its latest run for the same recipe, in seconds, if the cache has one.
    """

    def expect(self, stages: int) -> None: ...

    def note(self, text: str) -> None: ...

    def begin(self, stage: Stage[Any], expected_s: Callable[[], float | None]) -> Progress: ...

    def end(self, stage: Stage[Any], result: StageResult, *, seconds: float, cached: bool) -> None: ...


class SilentObserver:
    """Build observer without output, the default in Python."""

    def expect(self, stages: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def begin(self, stage: Stage[Any], expected_s: Callable[[], float | None]) -> Progress:
        return SILENT

    def end(self, stage: Stage[Any], result: StageResult, *, seconds: float, cached: bool) -> None:
        pass
