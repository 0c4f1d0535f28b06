"""Content hashes and package versions that stage results depend on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import os
import platform
import time
from collections.abc import Container
from functools import cache
from pathlib import Path
from typing import Any

from edgeprune import files, safe_json

_PACKAGES = {
    "accelerate": ("accelerate",),
    "ai_edge_litert": ("ai-edge-litert",),
    "ai_edge_quantizer": ("ai-edge-quantizer", "ai-edge-litert", "flatbuffers"),
    "ethosu": ("ethos-u-vela",),
    "flatbuffers": ("flatbuffers",),
    "numpy": ("numpy",),
    "onnx": ("onnx", "onnx-ir", "onnxscript"),  # torch.onnx writes files with all three
    "onnx_ir": ("onnx-ir",),
    "onnxruntime": ("onnxruntime",),
    "onnxsim": ("onnxsim",),
    "safetensors": ("safetensors",),
    "scipy": ("scipy",),
    "tflite_micro": ("tflite-micro",),
    "torch": ("torch", "numpy"),
}
"""Distributions that write or measure results, by the name of the imported module.

Packages that only the user's code imports are in ``import_closure``.
"""
# A file changed twice within one tick of the file system's clock keeps its time, so hashes of young files are not kept.
_YOUNG_NS = 2_000_000_000
_MAX_HASHES_BYTES = 256 << 20
_ENTRY_LENGTH = 4

logger = logging.getLogger(__name__)


def digest(value: Any) -> str:
    """Return the hex SHA-256 of a JSON value. It is the same in every process."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def packages(modules: Container[str] = _PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of the installed packages that write or measure results.

    Args:
        modules: Top-level names of imported modules; only packages that they use are included.
    """
    used = sorted({name for module, names in _PACKAGES.items() if module in modules for name in names})
    versions = {name: version for name in used if (version := _version(name)) is not None}
    return {**versions, "python": platform.python_version()}


@cache
def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def machine() -> dict[str, Any]:
    """Return the description of this machine, which measurements belong to."""
    return {
        "node": platform.node(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def _load_entries(path: Path) -> dict[str, list[Any]]:
    """Return the entries in the file ``path``; none if it is damaged, as every hash can be computed again."""
    try:
        values = safe_json.load(path, max_bytes=_MAX_HASHES_BYTES)
        well_formed = isinstance(values, dict) and all(
            isinstance(entry, list) and len(entry) == _ENTRY_LENGTH and isinstance(entry[-1], str)
            for entry in values.values()
        )
    except ValueError:
        well_formed = False
    if well_formed:
        return dict(values)
    logger.warning("%s is damaged, so every input is hashed again", path)
    return {}


class Hashes:
    """Content hashes of input files, stored by size and modification time so that a second build reads no file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, list[Any]] = {}
        if path.is_file():
            self._entries = _load_entries(path)
        self._changed = False

    def file(self, path: Path) -> str:
        """Return the hex SHA-256 of the content of ``path``."""
        path = path.resolve()
        status = path.stat()
        attributes = [status.st_size, status.st_mtime_ns, status.st_ino]
        entry = self._entries.get(str(path))
        if entry is not None and entry[:3] == attributes:
            return str(entry[3])
        content = files.sha256(path)
        if time.time_ns() - status.st_mtime_ns > _YOUNG_NS:
            self._entries[str(path)] = [*attributes, content]
            self._changed = True
        return content

    def save(self) -> None:
        """Write new hashes to the file."""
        if self._changed:
            files.write_atomic(self._path, json.dumps(self._entries))
            self._changed = False
