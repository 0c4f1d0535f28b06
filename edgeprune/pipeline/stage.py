"""Interfaces of a stage of a build, and of the progress of a build."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgeprune.config import Recipe, Target
from edgeprune.pipeline.cache import Finished
from edgeprune.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeprune.pipeline.job import Job

Findings = Mapping[tuple[str, ...], Mapping[str, Any]]
"""Measured values, by table of the lock: ``("training",)``, ``("targets", name)``."""


@dataclass(frozen=True)
class Space:
    """Folders and progress bar of a stage.

    Attributes:
        out: Empty folder; what lies there at the end belongs to the result.
        keep: Folder that the same stage finds again after a kill.
        progress: Its bar.
    """

    out: Path
    keep: Path
    progress: Progress


@dataclass(frozen=True)
class Stage:
    """One step of a build.

    Attributes:
        name: Of its cache entries.
        title: As people read it.
        after: Stages whose results it uses.
        settings: What of the recipe and the target it depends on, as plain JSON values.
        run: Does the work: reads from the job, writes files into its space, returns plain JSON values. The module it
            lies in, with all that this module imports, is the source of the stage: see ``stage_sources``.
        reads_inputs: It depends on the input files: code, weights, data.
        reads_device: It depends on the device that models are measured on.
        together: All processes that were started together run it; other stages the first alone.
        stands_for: Names of stages whose results it gives as well, for those that come after.
        by_content: Stages after it depend on what it found, not on the settings by which it did: they are shared by
            builds in which it finds the same. A function gives the part that counts.
        holds: False where a result in the cache does not serve any more, because what it made elsewhere is gone.
        found: What of its result was measured and then rested on, by table of the lock: it goes there, and into the
            keys of what follows.
    """

    name: str
    title: str
    after: tuple[str, ...]
    settings: Callable[[Recipe, Target], Mapping[str, Any]]
    run: Callable[[Job, Space], Mapping[str, Any]]
    reads_inputs: bool = False
    reads_device: bool = False
    together: bool = False
    stands_for: tuple[str, ...] = ()
    by_content: bool | Callable[[Finished], Any] = False
    holds: Callable[[Job, Mapping[str, Any]], bool] = lambda _job, _values: True
    found: Callable[[Job, Mapping[str, Any]], Findings] = lambda _job, _values: {}


class Watcher(Protocol):
    """Follows a build: it has so many stages, each begins and ends once unless it fails; notes come in between."""

    def expect(self, stages: int) -> None: ...

    def note(self, text: str) -> None: ...

    def begin(self, stage: Stage) -> Progress: ...

    def end(self, stage: Stage, *, seconds: float, cached: bool) -> None: ...


class Unwatched:
    """A Watcher that shows nothing: the default in Python."""

    def expect(self, stages: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def begin(self, stage: Stage) -> Progress:
        return SILENT

    def end(self, stage: Stage, *, seconds: float, cached: bool) -> None:
        pass
