"""Access to a bundle as a folder, extracted temporarily if it is an archive."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeprune.bundle import archive

_SUFFIXES = (".tar.gz", ".tgz")


def is_archive(path: Path) -> bool:
    """Return whether ``path`` has the name of a bundle's archive."""
    return not path.is_dir() and path.name.endswith(_SUFFIXES)


def sibling_path(path: Path, name: str) -> Path:
    """Return the path of a file next to the archive ``path``, such as ``digits-host-report.html``."""
    stem = next(path.name.removesuffix(end) for end in _SUFFIXES if path.name.endswith(end))
    return path.with_name(f"{stem}-{name}")


@contextmanager
def as_folder(path: Path) -> Iterator[Path]:
    """Yield ``path``, or for an archive a temporary folder with its verified files.

    Raises:
        BundleError: The archive differs from its manifest; nothing was extracted.
        OSError: The temporary folder cannot be written.
    """
    if not is_archive(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
        yield archive.extract(path, Path(folder))
