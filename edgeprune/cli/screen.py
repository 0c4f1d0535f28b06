"""Progress of a build on stderr: one line a stage, with a bar while it runs and its seconds when it is done."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from edgeprune.pipeline.stage import Stage
from edgeprune.progress import Progress as Bar

if TYPE_CHECKING:
    from typing_extensions import Self

_WIDTH = 26


class Screen:
    """A pipeline Watcher that draws on stderr; where that is no terminal, it prints a line a stage that ends."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn(f"{{task.description:<{_WIDTH}}}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        self._console.print(text, markup=False)

    def begin(self, stage: Stage) -> Bar:
        self._task = self._progress.add_task(stage.title, total=None, figures="")
        return _StageBar(self._progress, self._task)

    def end(self, stage: Stage, *, seconds: float, cached: bool) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._console.print(f"{stage.title:<{_WIDTH}} {'cached' if cached else f'{seconds:8.2f} s':>10}")


class _StageBar:
    """The bar of one stage, as the library knows bars."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def start(self, total: int) -> None:
        self._progress.reset(self._task, total=total)

    def advance(self, steps: int = 1, **figures: float) -> None:
        shown = "  ".join(f"{name}={value:.4g}" for name, value in figures.items())
        self._progress.update(self._task, advance=steps, figures=shown)
