"""How long-running library code tells its caller how far it is. The command line draws bars from it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """One bar: its total is set once, then it advances; ``figures`` are shown beside it (``loss=0.31``)."""

    def start(self, total: int) -> None: ...

    def advance(self, steps: int = 1, **figures: float) -> None: ...


class Silent:
    """A Progress that shows nothing: the default of every library call."""

    def start(self, total: int) -> None:
        pass

    def advance(self, steps: int = 1, **figures: float) -> None:
        pass


SILENT: Progress = Silent()
