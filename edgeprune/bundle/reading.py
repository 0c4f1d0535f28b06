"""What a bundle says of itself, from its folder, its archive, or one of its files, without unpacking anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgeprune import json_text
from edgeprune.bundle import archive
from edgeprune.bundle.manifest import Manifest
from edgeprune.errors import BundleError

PROFILE = "profile.json"


@dataclass(frozen=True)
class Read:
    """What was found.

    Attributes:
        path: That was given.
        manifest: None for a profile alone.
        profile: Text of ``profile.json``; None where there is none, as in an archive.
    """

    path: Path
    manifest: Manifest | None
    profile: str | None


def read(path: Path) -> Read:
    """Read a bundle folder, its ``.tar.gz``, a ``manifest.json`` or a ``profile.json``.

    Raises:
        BundleError: It is none of them, damaged, or of a newer schema.
    """
    if path.is_dir():
        profile = path / PROFILE
        return Read(path, Manifest.load(path), _text(profile) if profile.is_file() else None)
    if not path.is_file():
        raise BundleError(f"cannot read {path}: there is no such file")
    if path.name.endswith((".tar.gz", ".tgz")):
        return Read(path, archive.read(path)[0], None)
    text = _text(path)
    try:
        is_profile = "models" in json_text.loads(text)
    except (ValueError, TypeError) as problem:
        raise BundleError(f"{path} is neither a bundle, a manifest nor a profile: {problem}") from problem
    return Read(path, None, text) if is_profile else Read(path, Manifest.load(path), None)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as problem:
        raise BundleError(f"cannot read {file}: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise BundleError(f"{file} is not UTF-8 text: {problem.reason} at byte {problem.start}") from problem
