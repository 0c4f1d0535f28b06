"""Checks of folders: data and weights of recipes, free disk space, and the sizes of caches."""

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

_MIN_FREE_BYTES = 2 * 10**9
"""Recommended free disk space, enough for the cache and the bundle of a large network and for an emulator."""
_CACHE = Path(".edgeprune")


@check("Recipes", place=5)
def recipes() -> Iterator[Finding]:
    """Check that each recipe has its data and its weights."""
    for name, path in Recipe.available().items():
        yield _recipe(name, path)


@check("Folders", place=6)
def folders() -> Iterator[Finding]:
    """Check the working folder and the caches."""
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    space = f"{here}, {size(free)} free"
    if not os.access(here, os.W_OK):
        yield Finding("working folder", "bad", f"{here} is not writable", 'cd "$(mktemp -d)"', needed=True)
    elif free < _MIN_FREE_BYTES:
        yield Finding("working folder", "bad", f"{space}; builds may need {size(_MIN_FREE_BYTES)}", _remove(_CACHE))
    else:
        yield Finding("working folder", "ok", space, needed=True)
    yield _cache("stage results", here / _CACHE, "created by the first build in this folder")
    emulators = folder(next(iter(BOARDS))).parent
    yield _cache("emulators", emulators, "created by 'edgeprune emulator install'")


def _recipe(name: str, path: Path) -> Finding:
    try:
        recipe = Recipe.load(path)
        data, weights = recipe.data_dir, recipe.weights_path
    except RecipeError as problem:
        return Finding(name, "bad", str(problem), f"edgeprune recipes show {file_lookup.display_path(path.parent)}")
    if data is not None and not data.is_dir():
        message = f"data folder {data} does not exist"
        return Finding(name, "absent", message, f"edgeprune build {name} --data-dir FOLDER")
    if weights is not None and not weights.is_file():
        return Finding(name, "absent", f"weights {weights} do not exist", f"edgeprune build {name} --weights FILE")
    return Finding(name, "ok", "data are part of the recipe" if data is None else str(data.resolve()))


def _cache(name: str, folder: Path, origin: str) -> Finding:
    if not folder.is_dir():
        return Finding(name, "absent", origin)
    total = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
    return Finding(
        name, "ok", f"{folder}, {size(total)}; it can be removed, and EdgePrune creates it again when needed"
    )


def _remove(cache: Path) -> str | None:
    return f"rm -r {cache}" if cache.is_dir() else None
