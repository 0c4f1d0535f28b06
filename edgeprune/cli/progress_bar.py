"""Progress bar on stderr for commands with long measurements."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from edgeprune.cli.time_estimate import TimeEstimate
from edgeprune.progress import Progress

if TYPE_CHECKING:
    from rich import progress


class _Announcement:
    """Progress that prints the expected duration of long work once."""

    def __init__(self, title: str) -> None:
        self._estimate = TimeEstimate(lambda text: click.echo(f"{title}: {text}", err=True))

    def start(self, total: int) -> None:
        self._estimate.start(total)

    def advance(self, steps: int = 1, **_figures: float) -> None:
        self._estimate.advance(steps)

    def finish_epoch(self, **_figures: float) -> None:
        pass


class _Bar(_Announcement):
    """Progress bar that rich draws, with the elapsed time until the number of steps is known."""

    def __init__(self, rich_progress: progress.Progress, title: str) -> None:
        super().__init__(title)
        self._progress = rich_progress
        self._task = rich_progress.add_task(title, total=None)

    def start(self, total: int) -> None:
        super().start(total)
        self._progress.reset(self._task, total=total)

    def advance(self, steps: int = 1, **figures: float) -> None:
        super().advance(steps, **figures)
        self._progress.advance(self._task, steps)


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """Show a progress bar on stderr and remove it at the end; without a terminal, print only the expected duration.

    Work without steps never calls ``start``: the bar then shows the elapsed time.
    """
    if not sys.stderr.isatty() and "FORCE_COLOR" not in os.environ:  # rich takes time to import
        yield _Announcement(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from edgeprune.cli.progress_columns import StepCount, TimeLeft

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), StepCount(), TimeLeft())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield _Bar(progress, title)
