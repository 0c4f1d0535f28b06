"""Content hashes of everything a result depends on: EdgePrune's own source, packages, code, weights and data."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.metadata
import json
import logging
import os
import platform
import sys
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from edgeprune import files, json_text

_PACKAGE = Path(__file__).parents[1]
_PACKAGES = (
    "torch", "numpy", "scipy", "scikit-learn", "pillow", "safetensors", "onnx", "onnxscript", "onnxsim", "onnxruntime",
)  # fmt: skip
_SOURCES = (".py", ".cc", ".h", ".md", ".css")
# A file changed twice within one tick of the file system's clock keeps its time: the hash of a young file is not kept.
_YOUNG_NS = 2_000_000_000
_MAX_HASHES_BYTES = 256 << 20
_FACTS = 4

logger = logging.getLogger(__name__)


def digest(value: Any) -> str:
    """Hex SHA-256 of a plain JSON value, the same for the same value in every process."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def source() -> str:
    """Hash of EdgePrune's own files; the command line is left out, it changes no result."""
    hashed = {
        path.relative_to(_PACKAGE).as_posix(): files.sha256(path)
        for path in sorted(_PACKAGE.rglob("*"))
        if path.suffix in _SOURCES and path.relative_to(_PACKAGE).parts[0] not in ("cli", "_data")
    }
    return digest(hashed)


@cache
def packages() -> dict[str, str]:
    """Versions of the packages that results depend on, and of Python."""
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {**versions, "python": platform.python_version()}


@cache
def machine() -> dict[str, Any]:
    """The machine a measurement belongs to."""
    return {
        "node": platform.node(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def _remembered(path: Path) -> dict[str, list[Any]]:
    """The hashes in the file ``path``; nothing if it is damaged, as every one can be computed again."""
    try:
        values = json_text.load(path, max_bytes=_MAX_HASHES_BYTES)
        well_formed = isinstance(values, dict) and all(
            isinstance(entry, list) and len(entry) == _FACTS and isinstance(entry[-1], str) for entry in values.values()
        )
    except ValueError:
        well_formed = False
    if well_formed:
        return dict(values)
    logger.warning("%s is damaged, so every input is hashed again", path)
    return {}


class Hashes:
    """Content hashes of input files, remembered by size and modification time so that a second build reads none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[Any]] = {}
        if path.is_file():
            self._known = _remembered(path)
        self._changed = False

    def file(self, path: Path) -> str:
        """Hex SHA-256 of the content of ``path``."""
        path = path.resolve()
        facts = path.stat()
        seen = [facts.st_size, facts.st_mtime_ns, facts.st_ino]
        known = self._known.get(str(path))
        if known is not None and known[:3] == seen:
            return str(known[3])
        content = files.sha256(path)
        if time.time_ns() - facts.st_mtime_ns > _YOUNG_NS:
            self._known[str(path)] = [*seen, content]
            self._changed = True
        return content

    def folder(self, folder: Path) -> str:
        """One hash over every file in ``folder``, by relative path and content."""
        return self._all(folder, (path for path in folder.rglob("*") if path.is_file()))

    def code(self, spec: str, base: Path) -> str | None:
        """One hash over the Python code that ``file.py:name`` or ``package.module:name`` can reach beside itself.

        That is the whole package, or for a single file every Python file and package in its folder. None where nothing
        of that name is found: loading it will say so.
        """
        where, _, _ = spec.rpartition(":")
        if where.endswith(".py"):
            return self._beside((base / where).parent) if (base / where).is_file() else None
        found = importlib.machinery.PathFinder.find_spec(where.partition(".")[0], [str(Path.cwd()), *sys.path])
        if found is None:
            return None
        if found.submodule_search_locations:
            package = Path(next(iter(found.submodule_search_locations)))
            return self._all(package, package.rglob("*.py"))
        origin = Path(found.origin or "")
        return self.file(origin) if "site-packages" in origin.parts else self._beside(origin.parent)

    def save(self) -> None:
        """Write down what was learned."""
        if self._changed:
            files.write_atomic(self._path, json.dumps(self._known))
            self._changed = False

    def _beside(self, folder: Path) -> str:
        inner = (init.parent.rglob("*.py") for init in folder.glob("*/__init__.py"))
        return self._all(folder, [*folder.glob("*.py"), *(path for package in inner for path in package)])

    def _all(self, folder: Path, paths: Iterable[Path]) -> str:
        return digest({path.relative_to(folder).as_posix(): self.file(path) for path in sorted(paths)})
