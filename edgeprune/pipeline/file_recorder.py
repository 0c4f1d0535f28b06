"""Recorder of the files that code reads and the folders that it lists, through Python's audit events.

Files that a C library opens on its own raise no event; what depends on the recorder must cover them in another way.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from edgeprune.pipeline.import_closure import is_user_code

_VIRTUAL = (Path("/dev"), Path("/proc"), Path("/sys"))
_PYTHON_READERS = ("<frozen importlib._bootstrap_external>", "linecache.py", "tokenize.py")
"""Files whose functions list folders to find modules, or read source lines for messages."""
_active: list[FileRecorder] = []


class FileRecorder:
    """Files that were read between the start and the end of ``recording``.

    Args:
        caller: Frame of the function that entered ``recording``.

    Attributes:
        read: Absolute paths that were opened for reading, whether or not they exist; modules of the user included.
        listed: Absolute paths of folders whose entries were listed.
    """

    def __init__(self, caller: FrameType | None) -> None:
        self._caller = caller
        self.read: set[Path] = set()
        self.listed: set[Path] = set()

    def existing(self) -> list[Path]:
        """Files that were read and exist, sorted."""
        return sorted(path for path in self.read if path.is_file())

    def missing(self) -> list[Path]:
        """Paths that were tried and do not exist, sorted."""
        return sorted(path for path in self.read if not path.exists())

    def event(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Take one audit event."""
        if name == "open":
            path, mode, flags = arguments
            if _reads(mode, flags):
                self._add(path, self.read)
        elif name in ("os.listdir", "os.scandir"):
            self._add(arguments[0] or ".", self.listed)
        elif name == "sqlite3.connect":
            self._add(arguments[0], self.read)

    def _add(self, given: Any, paths: set[Path]) -> None:
        if isinstance(given, int):  # an open descriptor
            return
        try:
            path = Path(os.path.abspath(os.fsdecode(given)))  # noqa: PTH100 (keeps links)
        except (TypeError, ValueError):
            return
        if any(path.is_relative_to(root) for root in _VIRTUAL):
            return
        if path.suffix == ".pyc" or (path.suffix == ".py" and not is_user_code(path)):
            return
        if not _is_library_matter(self._caller):
            paths.add(path)


@contextmanager
def recording() -> Iterator[FileRecorder]:
    """Record what the code inside reads, in all threads of this process."""
    _add_hook()
    entered = inspect.currentframe()
    while entered is not None and entered.f_code.co_filename in (__file__, contextlib.__file__):
        entered = entered.f_back
    recorder, modules = FileRecorder(entered), set(sys.modules)
    _active.append(recorder)
    try:
        yield recorder
    finally:
        _active.remove(recorder)
    for name in set(sys.modules) - modules - {"__mp_main__"}:  # another name of the script itself
        file = Path(getattr(sys.modules[name], "__file__", None) or "")
        if (
            file.is_absolute() and file.suffix and is_user_code(file)
        ):  # torch.ops says '_ops.py', a script has no suffix
            recorder.read.add(file.resolve())


@cache
def _add_hook() -> None:
    """Listen to audit events: once, as a hook cannot be removed again."""
    sys.addaudithook(_hook)


def _hook(name: str, arguments: tuple[Any, ...]) -> None:
    for recorder in _active:
        recorder.event(name, arguments)


def _reads(mode: str | None, flags: int) -> bool:
    if isinstance(mode, str) and mode:
        return not set(mode) & set("wxa")
    return flags & (os.O_WRONLY | os.O_RDWR) != os.O_WRONLY


def _is_library_matter(caller: FrameType | None) -> bool:
    """Whether the event comes from Python's import system or from a package that is being imported below ``caller``."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    if frame is not None and Path(frame.f_code.co_filename).name in _PYTHON_READERS:
        return True
    while frame is not None and frame is not caller:
        if frame.f_code.co_name == "<module>":
            return not is_user_code(Path(frame.f_code.co_filename))
        frame = frame.f_back
    return False
