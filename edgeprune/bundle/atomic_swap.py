"""Replacement of one folder by another, atomically on Linux."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def exchange(new: Path, place: Path) -> None:
    """Move the folder ``new`` to the path ``place``; the caller removes the folder that was there before.

    On Linux, ``renameat2`` exchanges the two folders atomically: a reader finds either the old or the new one, and the
    old one ends up at the path of ``new``. On other systems, two renames follow each other, and ``place`` is missing
    between them; the old folder ends up at the path of ``new`` with the suffix ``.old``.
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
