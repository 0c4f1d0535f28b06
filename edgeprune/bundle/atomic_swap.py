"""Put a finished folder in the place of another one, in one step where the system can."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def exchange(new: Path, place: Path) -> None:
    """Make ``new`` be ``place``; what was there lies beside ``new``'s old name afterwards, for the caller to remove.

    On Linux the two change places at once (``renameat2``), so that a reader finds the old folder or the new one.
    Elsewhere there is a moment between two renames without either.
    """
    if not os.path.lexists(place):
        new.rename(place)
        return
    if _exchange_at_once(new, place):
        return
    old = new.with_name(f"{new.name}.old")
    place.rename(old)
    try:
        new.rename(place)
    except OSError:
        old.rename(place)
        raise


def _exchange_at_once(first: Path, second: Path) -> bool:
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:  # not Linux, or a C library before glibc 2.28
        return False
    paths = (os.fsencode(first.absolute()), os.fsencode(second.absolute()))
    return bool(rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0)
