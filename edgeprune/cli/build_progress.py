"""Progress of a build on stderr: bars for the running stage, and one line with the duration of each finished stage."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from edgeprune.cli.progress_columns import StepCount, TimeLeft
from edgeprune.cli.time_estimate import TimeEstimate
from edgeprune.progress import Progress as Bar

if TYPE_CHECKING:
    from typing_extensions import Self

    from edgeprune.pipeline import Stage
    from edgeprune.pipeline.stage_result import StageResult

_WIDTH = 26
_BAR_WIDTH = 20


class BuildProgress:
    """Watcher of a pipeline that draws progress bars on stderr.

    One bar counts the stages of the build. A second one counts the steps of the running stage; without steps, it shows
    the time left from an earlier run, or the elapsed time. If stderr is not a terminal, only a line for each finished
    stage is printed.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn(f"{{task.description:<{_WIDTH}}}"),
            BarColumn(bar_width=_BAR_WIDTH),
            StepCount(),
            TimeLeft(),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._stages = 0
        self._finished = 0
        self._build_bar: TaskID | None = None
        self._bar: _StageBar | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def expect(self, stages: int) -> None:
        self._stages, self._finished = stages, 0
        if self._build_bar is not None:
            self._progress.remove_task(self._build_bar)
        self._build_bar = self._progress.add_task("", total=stages, figures="")

    def note(self, text: str) -> None:
        self._console.print(text, markup=False)

    def begin(self, stage: Stage[Any], expected_s: Callable[[], float | None]) -> Bar:
        if self._build_bar is not None:
            number = f"stage {self._finished + 1} of {self._stages}"
            self._progress.update(self._build_bar, description=f"{number}: {stage.title}")
        self._bar = _StageBar(self._progress, stage.title, self._console)
        if self._console.is_terminal:
            self._bar.show(total=None, expected_s=expected_s())
        return self._bar

    def end(self, stage: Stage[Any], result: StageResult, *, seconds: float, cached: bool) -> None:
        self._finished += 1
        if self._bar is not None:
            self._bar.remove()
        if self._build_bar is not None:
            self._progress.update(self._build_bar, completed=self._finished)
        number = f"stage {self._finished:>2} of {self._stages}"
        duration = "cached" if cached else f"{seconds:8.2f} s"
        self._console.print(f"{number}  {stage.title:<{_WIDTH}} {duration:>10}")


class _StageBar:
    """Bar of one stage."""

    def __init__(self, progress: Progress, title: str, console: Console) -> None:
        self._progress = progress
        self._title = title
        self._task: TaskID | None = None
        self._estimate = TimeEstimate(lambda text: console.print(f"{title}: {text}", markup=False))

    def start(self, total: int) -> None:
        self._estimate.start(total)
        self.show(total=total, expected_s=None)

    def show(self, *, total: int | None, expected_s: float | None) -> None:
        """Draw the bar.

        Args:
            total: Number of steps. None: the stage has no steps, or does not know their number yet.
            expected_s: Duration of an earlier run in seconds; None: unknown.
        """
        self.remove()
        self._task = self._progress.add_task(f"  {self._title}", total=total, figures="", expected_s=expected_s)

    def advance(self, steps: int = 1, **figures: float) -> None:
        self._estimate.advance(steps)
        text = "  ".join(f"{name}={value:.4g}" for name, value in figures.items())
        if self._task is not None:
            self._progress.update(self._task, advance=steps, figures=text)

    def finish_epoch(self, **figures: float) -> None:
        pass

    def remove(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
