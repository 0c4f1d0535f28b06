"""Engine files and their JSON records."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 1 << 20


def sha256(path: Path) -> str:
    """Hex SHA-256 of the file's content."""
    digest = hashlib.sha256()
    with open(str(path), "rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()


def stem_of(onnx: Path) -> str:
    """Return the common part of the file names of all variants of a network."""
    return re.sub(r"(\.fp16|\.int8|\.int8-fp16)?\.onnx$", "", onnx.name)


def engine_path(onnx: Path, precision: str, engines: Path) -> Path:
    return engines / f"{stem_of(onnx)}.{precision}.engine"


def record_path(engine: Path) -> Path:
    return engine.with_suffix(".engine.json")


def is_current(engine: Path, key: Mapping[str, Any]) -> bool:
    record = read_record(record_path(engine))
    return record.get("key") == key and engine.is_file() and record["engine_sha256"] == sha256(engine)


def read_record(path: Path) -> dict[str, Any]:
    """Read a record. It is empty if the file does not exist or is damaged."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    with temporary(path) as new:
        new.write_text(json.dumps(record, indent=1) + "\n")
        replace_file(new, path)


@contextlib.contextmanager
def temporary(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``. Its file is removed at the end."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
    finally:
        if temporary.exists():
            temporary.unlink()


def replace_file(temporary: Path, path: Path) -> None:
    with open(str(temporary), "rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
