"""Failures of the system, such as a full or read-only disk: one sentence instead of a traceback."""

from __future__ import annotations

import errno
import os
import re
import traceback

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CODE = re.compile(r"\b(?:os error|errno) (\d+)\b", re.IGNORECASE)


def describe(error: BaseException) -> str | None:
    """The sentence for ``error``, or None if the system is not the reason.

    A full disk is looked for in the chain of causes as well, because libraries wrap it in exceptions of their own.
    """
    full = _disk_full(error)
    if full is not None:
        return f"{full}; earlier bundles are intact: make room and run the same command again to go on"
    if not isinstance(error, OSError):
        return None
    reason = error.strerror or str(error) or type(error).__name__
    where = f"cannot use {error.filename!s}: " if error.filename is not None else ""
    return f"{where}{reason}; earlier bundles are intact"


def _disk_full(error: BaseException | None) -> str | None:
    while error is not None:
        if isinstance(error, OSError):
            if error.errno in _DISK_FULL:
                return f"cannot write {error.filename}: {error.strerror}" if error.filename else str(error.strerror)
        elif _is_raised_by_library(error) and (code := _stated_code(str(error))) is not None:
            return os.strerror(code)
        error = error.__cause__ or error.__context__
    return None


def _stated_code(message: str) -> int | None:
    """The code of a full disk that the message of a library states, by number or in the words of the system."""
    numbers = {int(number) for number in _CODE.findall(message)}
    return next((code for code in _DISK_FULL if code in numbers or os.strerror(code) in message), None)


def _is_raised_by_library(error: BaseException) -> bool:
    """Whether an installed package raised ``error``: what user code says in its messages is not the system's word."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and "site-packages" in frames[-1].filename
