"""Search for recipes and targets: an explicit path, then the working folder, then the package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def packaged(kind: str) -> Path:
    """Return the folder of the packaged ``recipes`` or ``targets``: package data, or the top level of a checkout."""
    data = _PACKAGE / "_data"
    return (data if data.is_dir() else _PACKAGE.parent) / kind


def folders(kind: str) -> list[Path]:
    """Return the folders to search for a name, in order."""
    return [Path.cwd() / kind, packaged(kind)]


def display_path(path: Path) -> str:
    """Return ``path`` for messages: relative if it is in the working folder."""
    try:
        return str(path.resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return str(path)
