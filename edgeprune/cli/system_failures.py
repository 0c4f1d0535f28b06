"""Messages for failures of the operating system, such as a full or read-only disk, instead of a traceback."""

from __future__ import annotations

import errno
import os
import re
import traceback

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CODE = re.compile(r"\b(?:os error|errno) (\d+)\b", re.IGNORECASE)


def describe(error: BaseException) -> str | None:
    """Return the message for ``error``; None if the operating system is not the reason.

    The chain of causes is also searched for a full disk, because libraries wrap the error in their own exceptions.
    """
    full = _disk_full(error)
    if full is not None:
        return f"{full}; earlier bundles are intact: free disk space and run the same command again to resume"
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
    """Return the error code of a full disk in a library's message, given as a number or as the system's text."""
    numbers = {int(number) for number in _CODE.findall(message)}
    return next((code for code in _DISK_FULL if code in numbers or os.strerror(code) in message), None)


def _is_raised_by_library(error: BaseException) -> bool:
    """Return whether an installed package raised ``error``; messages of user code are not searched."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and "site-packages" in frames[-1].filename
