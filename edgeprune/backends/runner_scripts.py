"""Scripts that run and measure a model on a device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

from edgeprune.backends.self_contained import self_contained


@dataclass(frozen=True, kw_only=True)
class RunnerScripts:
    """Scripts that run and measure a model on a device without EdgePrune.

    Attributes:
        script: Source of the main script; ``run.py`` in a bundle.
        companions: Sources of scripts that must be in the same folder, under their own names.
        requirements: Packages that the scripts need on the device, in the format of pip; empty if the board has them.
        load_s: Time limit for loading a model in seconds, if it exceeds that of other commands.
    """

    script: Path
    companions: tuple[Path, ...] = ()
    requirements: str = ""
    load_s: float = 0.0

    @cached_property
    def contents(self) -> tuple[str, ...]:
        """Contents of ``script`` and ``companions`` with their parts inlined, see ``self_contained``."""
        return tuple(self_contained(path) for path in (self.script, *self.companions))

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Files with ``contents`` in one temporary folder, which is removed when this process ends."""
        folder = Path(self._folder.name)
        for path, content in zip((self.script, *self.companions), self.contents, strict=True):
            (folder / path.name).write_text(content, encoding="utf-8")
        return tuple(folder / path.name for path in (self.script, *self.companions))

    @cached_property
    def _folder(self) -> TemporaryDirectory[str]:
        return TemporaryDirectory(prefix="edgeprune-")
