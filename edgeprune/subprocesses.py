"""Subprocesses from argument lists, with a timeout and a log entry, without a shell."""

from __future__ import annotations

import logging
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

logger = logging.getLogger(__name__)


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | IO[bytes] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``argv`` to its end and return its output and exit code; a non-zero exit code is not an error.

    ``stdin`` is text, or a file that is read from its current position.

    Raises ``subprocess.TimeoutExpired`` after ``timeout_s`` seconds, and ``OSError`` if it cannot start.
    """
    logger.debug("run: %s", shlex.join(argv))
    return subprocess.run(
        list(argv),
        cwd=cwd,
        env=None if env is None else dict(env),
        **_stdin_arguments(stdin),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def _stdin_arguments(stdin: str | IO[bytes] | None) -> dict[str, Any]:
    if isinstance(stdin, str):
        return {"input": stdin}
    return {"stdin": subprocess.DEVNULL if stdin is None else stdin}


def start(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stderr: IO[Any] | int | None = subprocess.PIPE,
    new_session: bool = False,
) -> subprocess.Popen[str]:
    """Start ``argv`` with text pipes on stdin and stdout, for interactive use; the caller ends it.

    Args:
        argv: Program and its arguments.
        cwd: Working folder. None: that of this process.
        env: Environment variables. None: those of this process.
        stderr: File or pipe for stderr.
        new_session: Whether to start the program in a separate session, so that Ctrl-C in the terminal does not reach
            it.
    """
    logger.debug("start: %s", shlex.join(argv))
    return subprocess.Popen(
        list(argv),
        cwd=cwd,
        env=None if env is None else dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        start_new_session=new_session,
    )
