"""Programs of this machine that the installation of an emulator calls."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from edgeprune import subprocesses
from edgeprune.errors import DeviceError

_WORDS_SHOWN = 600


def run(
    argv: Sequence[str], *, timeout_s: float = 1800.0, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program like ``subprocesses.run``, and raise DeviceError if it does not start or end.

    Args:
        argv: Program and its arguments.
        timeout_s: Maximum duration in seconds.
        env: Environment variables. None: those of this process.

    Raises:
        DeviceError: The program does not start, or does not end in time.
    """
    try:
        return subprocesses.run(argv, timeout_s=timeout_s, env=env)
    except subprocess.TimeoutExpired as problem:
        raise DeviceError(f"{argv[0]} did not finish within {timeout_s:g} s") from problem
    except OSError as problem:
        raise DeviceError(f"cannot start {argv[0]}: {problem.strerror}") from problem


def last_words(text: str) -> str:
    """Return the end of ``text`` on one line."""
    return " ".join(text.split())[-_WORDS_SHOWN:]
