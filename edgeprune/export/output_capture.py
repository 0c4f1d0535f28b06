"""Packages that print and warn where a library should not: what they say goes to a log."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

_REDIRECTING = threading.RLock()
"""Two threads that undo what the other one did would leave a descriptor led elsewhere for good."""


@dataclass
class CapturedOutput:
    """Text that was written to a file descriptor, complete once the descriptor is restored."""

    text: str = ""


@contextlib.contextmanager
def captured(descriptor: Literal[1, 2]) -> Iterator[CapturedOutput]:
    """Lead stdout (1) or stderr (2) of the whole process elsewhere: C++ prints past Python's own streams."""
    printed = CapturedOutput()
    with _REDIRECTING, tempfile.TemporaryFile() as file:
        (sys.stdout if descriptor == 1 else sys.stderr).flush()
        kept = os.dup(descriptor)
        os.dup2(file.fileno(), descriptor)
        try:
            yield printed
        finally:
            os.dup2(kept, descriptor)
            os.close(kept)
            file.seek(0)
            printed.text = file.read().decode(errors="replace")


@contextlib.contextmanager
def logged(log: logging.Logger, *chatty: str) -> Iterator[None]:
    """Send prints, warnings and records of the root logger to ``log`` at debug level.

    Some print from C++, so file descriptor 1 itself is led elsewhere. Stderr is left alone: somebody's progress bar may
    be there. The loggers named ``chatty`` tell errors alone.
    """
    loggers = [logging.getLogger(name) for name in chatty]
    levels = [one.level for one in loggers]
    python_printed, printed = io.StringIO(), CapturedOutput()
    with warnings.catch_warnings(record=True) as caught, _root_logged(log):
        warnings.simplefilter("always")
        for one in loggers:
            one.setLevel(logging.ERROR)
        try:
            with captured(1) as printed, contextlib.redirect_stdout(python_printed):
                yield
        finally:
            for one, level in zip(loggers, levels, strict=True):
                one.setLevel(level)
            for text in (python_printed.getvalue(), printed.text):
                if text:
                    log.debug("printed: %s", text.rstrip())
            for message in sorted({str(warning.message) for warning in caught}):
                log.debug("warned: %s", message)


@contextlib.contextmanager
def _root_logged(log: logging.Logger) -> Iterator[None]:
    """``logging.warning(...)`` speaks through the root logger, and gives it a handler where it has none."""
    root, handler = logging.getLogger(), logging.NullHandler()

    def divert(record: logging.LogRecord) -> bool:
        log.debug("root logger: %s", record.getMessage())
        return False

    root.addHandler(handler)
    root.addFilter(divert)  # asked for its own records alone, not for those of loggers below it
    try:
        yield
    finally:
        root.removeFilter(divert)
        root.removeHandler(handler)
