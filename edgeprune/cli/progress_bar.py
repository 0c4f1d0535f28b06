"""One bar on stderr for a command that measures for long."""

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
    """The library's progress, drawn by rich: shown when its total is known."""

    def __init__(self, drawn: progress.Progress, title: str) -> None:
        self._drawn = drawn
        self._task = drawn.add_task(title, visible=False)
        self._estimate = TimeEstimate(lambda text: click.echo(f"{title}: {text}", err=True))

    def start(self, total: int) -> None:
        self._estimate.start(total)
        self._drawn.reset(self._task, total=total, visible=True)

    def advance(self, steps: int = 1, **_figures: float) -> None:
        self._estimate.advance(steps)
        self._drawn.advance(self._task, steps)


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """A bar on stderr, gone at the end; without a terminal, only the expected time of long work is printed."""
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
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as drawn:
        yield _Bar(drawn, title)
