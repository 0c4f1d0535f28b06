"""Search for recipes and targets: an explicit path, then the working folder, then the package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def packaged(kind: str) -> Path:
    """The folder of the packaged ``recipes`` or ``targets``: package data in a wheel, the top level in a checkout."""
    data = _PACKAGE / "_data"
    return (data if data.is_dir() else _PACKAGE.parent) / kind


def folders(kind: str) -> list[Path]:
    """The folders that are searched for a name, first match wins."""
    return [Path.cwd() / kind, packaged(kind)]


def shown(path: Path) -> str:
    """``path`` as a message names it: relative where it lies in the working folder."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)
