"""One bar on stderr for a command that measures for long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgeprune.progress import Progress

if TYPE_CHECKING:
    from rich import progress


class _Bar:
    """The library's progress, drawn by rich."""

    def __init__(self, drawn: progress.Progress, title: str) -> None:
        self._drawn = drawn
        self._task = drawn.add_task(title)

    def start(self, total: int) -> None:
        self._drawn.reset(self._task, total=total)

    def advance(self, steps: int = 1, **_figures: float) -> None:
        self._drawn.advance(self._task, steps)


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """A bar on stderr, gone at the end; none where that is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as drawn:
        yield _Bar(drawn, title)
