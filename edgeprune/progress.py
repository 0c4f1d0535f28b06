"""Progress interface of long-running library code; the command line draws progress bars with it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Progress bar: its total is set once, then it advances; ``figures`` are printed next to it (``loss=0.31``)."""

    def start(self, total: int) -> None: ...

    def advance(self, steps: int = 1, **figures: float) -> None: ...

    def finish_epoch(self, **figures: float) -> None:
        """Receive the values of a finished training epoch, by the attributes of ``training.history.Epoch``."""
        ...


class Silent:
    """A Progress that shows nothing: the default of every library call."""

    def start(self, total: int) -> None:
        pass

    def advance(self, steps: int = 1, **figures: float) -> None:
        pass

    def finish_epoch(self, **figures: float) -> None:
        pass


SILENT: Progress = Silent()
