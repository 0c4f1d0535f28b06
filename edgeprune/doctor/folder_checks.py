"""Folders: data and weights of recipes, free space, and the sizes of caches."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgeprune.config import Recipe, file_lookup
from edgeprune.devices.emulation import BOARDS, folder
from edgeprune.doctor.base import Finding, check
from edgeprune.errors import RecipeError
from edgeprune.report.quantity_text import size

_ROOM_BYTES = 2 * 10**9
"""Enough for the cache and the bundle of a large network, and for an emulator."""
_CACHE = Path(".edgeprune")


@check("Recipes", place=5)
def recipes() -> Iterator[Finding]:
    """Whether each has its data and its weights."""
    for name, path in Recipe.available().items():
        yield _recipe(name, path)


@check("Folders", place=6)
def folders() -> Iterator[Finding]:
    """The working folder and the caches."""
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    space = f"{here}, {size(free)} free"
    if not os.access(here, os.W_OK):
        yield Finding("working folder", "bad", f"{here} cannot be written to", 'cd "$(mktemp -d)"', needed=True)
    elif free < _ROOM_BYTES:
        yield Finding("working folder", "bad", f"{space}; builds may need {size(_ROOM_BYTES)}", _remove(_CACHE))
    else:
        yield Finding("working folder", "ok", space, needed=True)
    yield _held("stage results", here / _CACHE, "made by the first build here")
    emulators = folder(next(iter(BOARDS))).parent
    yield _held("emulators", emulators, "made by 'edgeprune emulator install'")


def _recipe(name: str, path: Path) -> Finding:
    try:
        recipe = Recipe.load(path)
        data, weights = recipe.data_dir, recipe.weights_path
    except RecipeError as problem:
        return Finding(name, "bad", str(problem), f"edgeprune recipes show {file_lookup.shown(path.parent)}")
    if data is not None and not data.is_dir():
        message = f"no data in {data}"
        return Finding(name, "absent", message, f"edgeprune build {name} --data-dir FOLDER")
    if weights is not None and not weights.is_file():
        return Finding(name, "absent", f"no weights: {weights}", f"edgeprune build {name} --weights FILE")
    return Finding(name, "ok", "its own data" if data is None else str(data.resolve()))


def _held(name: str, place: Path, otherwise: str) -> Finding:
    if not place.is_dir():
        return Finding(name, "absent", otherwise)
    held = sum(path.lstat().st_size for path in place.rglob("*") if not path.is_dir())
    return Finding(name, "ok", f"{place}, {size(held)}; removing it costs time only")


def _remove(cache: Path) -> str | None:
    return f"rm -r {cache}" if cache.is_dir() else None
