"""Workspaces whose files are on this machine, such as those of emulators and boards on a serial port."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from edgeprune import files
from edgeprune.errors import DeviceError


class _Closing(Protocol):
    def close(self) -> None: ...


class LocalFiles:
    """Files of a ``Workspace`` in a folder of this machine, and its conversations."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._conversations: list[_Closing] = []

    def push(self, file: Path, *companions: Path) -> str:
        """Return the path of the file, which is on this machine already."""
        return str(file.resolve())

    def path(self, name: str) -> str:
        return str(self._folder / name)

    def pull(self, path: str, file: Path) -> None:
        if not Path(path).is_file():
            raise DeviceError(f"{path} does not exist: no program wrote it")
        with files.replacing(file) as temporary:
            shutil.copyfile(path, temporary)

    def close(self) -> None:
        """End every conversation."""
        for conversation in self._conversations:
            conversation.close()


_Files = TypeVar("_Files", bound=LocalFiles)


@contextmanager
def opened(make: Callable[[Path], _Files]) -> Iterator[_Files]:
    """Yield a workspace in a temporary folder, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
        workspace = make(Path(folder))
        try:
            yield workspace
        finally:
            workspace.close()
