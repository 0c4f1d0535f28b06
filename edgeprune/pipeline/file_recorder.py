"""Recorder of the files that code reads and the folders that it lists, based on Python's audit events.

Files that a C library opens raise no event. Users of the recorder must cover them in another way.
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
    """Recorder of the files that were read between the start and the end of ``recording``.

    Args:
        caller: Frame of the function that entered ``recording``.

    Attributes:
        read: Absolute paths that were opened for reading, existing or not, including modules of the user.
        listed: Absolute paths of folders whose entries were listed.
    """

    def __init__(self, caller: FrameType | None) -> None:
        self._caller = caller
        self.read: set[Path] = set()
        self.listed: set[Path] = set()

    def existing(self) -> list[Path]:
        """Return the files that were read and exist, sorted."""
        return sorted(path for path in self.read if path.is_file())

    def missing(self) -> list[Path]:
        """Return the paths that were opened and do not exist, sorted."""
        return sorted(path for path in self.read if not path.exists())

    def event(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Process one audit event."""
        if name == "open":
            path, mode, flags = arguments
            if _reads(mode, flags):
                self._add(path, self.read)
        elif name in ("os.listdir", "os.scandir"):
            self._add(arguments[0] or ".", self.listed)
        elif name == "sqlite3.connect":
            self._add(arguments[0], self.read)

    def _add(self, file: Any, paths: set[Path]) -> None:
        if isinstance(file, int):  # an open descriptor
            return
        try:
            path = Path(os.path.abspath(os.fsdecode(file)))  # noqa: PTH100 (keeps links)
        except (TypeError, ValueError):
            return
        if any(path.is_relative_to(root) for root in _VIRTUAL):
            return
        if path.suffix == ".pyc" or (path.suffix == ".py" and not is_user_code(path)):
            return
        if not _is_library_access(self._caller):
            paths.add(path)


@contextmanager
def recording() -> Iterator[FileRecorder]:
    """Record the files that the code in the context reads, in all threads of this process."""
    _add_hook()
    caller = inspect.currentframe()
    while caller is not None and caller.f_code.co_filename in (__file__, contextlib.__file__):
        caller = caller.f_back
    recorder, modules = FileRecorder(caller), set(sys.modules)
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
    """Add the audit hook. It is added once, because a hook cannot be removed."""
    sys.addaudithook(_hook)


def _hook(name: str, arguments: tuple[Any, ...]) -> None:
    for recorder in _active:
        recorder.event(name, arguments)


def _reads(mode: str | None, flags: int) -> bool:
    if isinstance(mode, str) and mode:
        return not set(mode) & set("wxa")
    return flags & (os.O_WRONLY | os.O_RDWR) != os.O_WRONLY


def _is_library_access(caller: FrameType | None) -> bool:
    """Return whether the event comes from the import system, or from a package imported below ``caller``."""
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
