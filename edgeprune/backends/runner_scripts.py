"""Scripts that run and measure a model on a device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from edgeprune.backends.self_contained import self_contained


@dataclass(frozen=True, kw_only=True)
class RunnerScripts:
    """Scripts that run and measure a model on a device; they need nothing of EdgePrune there.

    Attributes:
        script: Source of the script that is started; ``run.py`` in a bundle.
        beside: Sources of scripts that must lie beside it, under their own names.
        requirements: Packages that it needs on the device, one a line as pip reads them; empty for those of the board.
        load_s: Longest time until a model is loaded, in seconds, where that may take longer than an answer.
    """

    script: Path
    beside: tuple[Path, ...] = ()
    requirements: str = ""
    load_s: float = 0.0

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """Content of ``script`` and of those ``beside`` it, with the parts that they share, see ``self_contained``."""
        return tuple(self_contained(path) for path in (self.script, *self.beside))

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """``contents`` as files beside each other in a folder that is removed when this process ends."""
        folder = Path(self._folder.name)
        for path, content in zip((self.script, *self.beside), self.contents, strict=True):
            (folder / path.name).write_text(content, encoding="utf-8")
        return tuple(folder / path.name for path in (self.script, *self.beside))

    @cached_property
    def _folder(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory(prefix="edgeprune-")
