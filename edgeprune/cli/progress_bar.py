"""Progress bar on stderr for commands with long measurements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from edgeprune.cli.time_estimate import TimeEstimate
from edgeprune.progress import Progress

if TYPE_CHECKING:
    from rich import progress


class _Bar:
    """Progress bar that rich draws as soon as the number of steps is known."""

    def __init__(self, rich_progress: progress.Progress, title: str) -> None:
        self._progress = rich_progress
        self._task = rich_progress.add_task(title, visible=False)
        self._estimate = TimeEstimate(lambda text: click.echo(f"{title}: {text}", err=True))

    def start(self, total: int) -> None:
        self._estimate.start(total)
        self._progress.reset(self._task, total=total, visible=True)

    def advance(self, steps: int = 1, **_figures: float) -> None:
        self._estimate.advance(steps)
        self._progress.advance(self._task, steps)

    def finish_epoch(self, **_figures: float) -> None:
        pass


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """Show a progress bar on stderr and remove it at the end; without a terminal, print only the expected duration."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _Bar(progress, title)
