"""Content hashes of everything a result depends on: EdgePrune's own source, packages, code, weights and data."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import time
from functools import cache
from pathlib import Path
from typing import Any

from edgeprune import files, json_text

_PACKAGE = Path(__file__).parents[1]
_PACKAGES = (
    "torch", "numpy", "scipy", "safetensors", "accelerate", "onnx", "onnxscript", "onnx-ir", "onnxsim", "onnxruntime",
    "ai-edge-litert", "ai-edge-quantizer", "flatbuffers", "tflite-micro",
)  # fmt: skip
"""Distributions that write or measure results. Packages that only the user's code imports are in ``import_closure``."""
_TEXT = (".md", ".css")
_NO_RESULTS = ("_data", "cli", "doctor")
_LOOKS = ("report",)
_SOURCES = (".py", ".cc", ".c", ".h", ".ld", ".txt", ".cmake", ".md", ".css")
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
def source(*, texts: bool = False) -> str:
    """Hash of EdgePrune's own files that results depend on.

    The command line and ``doctor`` change no result. The report, style sheets and Markdown templates change only what
    stages write for people; they are part of the hash with ``texts``.
    """
    hashed = {}
    for path in sorted(_PACKAGE.rglob("*")):
        name = path.relative_to(_PACKAGE)
        is_text = path.suffix in _TEXT or name.parts[0] in _LOOKS
        if path.suffix in _SOURCES and name.parts[0] not in _NO_RESULTS and (texts or not is_text):
            hashed[name.as_posix()] = files.sha256(path)
    return digest(hashed)


@cache
def packages() -> dict[str, str]:
    """Versions of the packages that write or measure results, and of Python; a missing package is left out."""
    installed = {name: _version(name) for name in _PACKAGES}
    versions = {name: version for name, version in installed.items() if version is not None}
    return {**versions, "python": platform.python_version()}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


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

    def save(self) -> None:
        """Write down what was learned."""
        if self._changed:
            files.write_atomic(self._path, json.dumps(self._known))
            self._changed = False
