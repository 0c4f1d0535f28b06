"""Redirection of the prints and warnings of packages to a log."""

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
"""Lock for redirections. Without it, concurrent redirections could restore a descriptor in the wrong order."""


@dataclass
class CapturedOutput:
    """Text written to a file descriptor. It is complete when the descriptor is restored."""

    text: str = ""


@contextlib.contextmanager
def captured(descriptor: Literal[1, 2]) -> Iterator[CapturedOutput]:
    """Capture stdout (1) or stderr (2) of the whole process, including output of C++ code."""
    printed = CapturedOutput()
    with _REDIRECTING, tempfile.TemporaryFile() as file:
        (sys.stdout if descriptor == 1 else sys.stderr).flush()
        saved = os.dup(descriptor)
        os.dup2(file.fileno(), descriptor)
        try:
            yield printed
        finally:
            os.dup2(saved, descriptor)
            os.close(saved)
            file.seek(0)
            printed.text = file.read().decode(errors="replace")


@contextlib.contextmanager
def logged(log: logging.Logger, *chatty: str) -> Iterator[None]:
    """Send prints, warnings and records of the root logger to ``log`` at debug level.

    File descriptor 1 is redirected, because some packages print from C++. Stderr is not redirected, because it may show
    a progress bar. The loggers named ``chatty`` log only errors.
    """
    loggers = [logging.getLogger(name) for name in chatty]
    levels = [logger.level for logger in loggers]
    python_printed, printed = io.StringIO(), CapturedOutput()
    with warnings.catch_warnings(record=True) as caught, _root_logged(log):
        warnings.simplefilter("always")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            with captured(1) as printed, contextlib.redirect_stdout(python_printed):
                yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            for text in (python_printed.getvalue(), printed.text):
                if text:
                    log.debug("printed: %s", text.rstrip())
            for message in sorted({str(warning.message) for warning in caught}):
                log.debug("warned: %s", message)


@contextlib.contextmanager
def _root_logged(log: logging.Logger) -> Iterator[None]:
    """Redirect records of ``logging.warning(...)``, which uses the root logger and may add a handler to it."""
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
