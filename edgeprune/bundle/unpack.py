"""A bundle as a folder, whether it is given as a folder or as an archive."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeprune.bundle import archive

_SUFFIXES = (".tar.gz", ".tgz")


def is_archive(path: Path) -> bool:
    """Whether ``path`` has the name of a bundle's archive."""
    return not path.is_dir() and path.name.endswith(_SUFFIXES)


def beside(path: Path, name: str) -> Path:
    """Path of a file of the bundle; of an archive it is beside it: ``digits-host-report.html``."""
    stem = next(path.name.removesuffix(end) for end in _SUFFIXES if path.name.endswith(end))
    return path.with_name(f"{stem}-{name}")


@contextmanager
def as_folder(path: Path) -> Iterator[Path]:
    """``path``, or for an archive a temporary folder with its files, every byte of which is verified.

    Raises:
        BundleError: The archive is not what its manifest says; nothing was extracted.
        OSError: The temporary folder cannot be written.
    """
    if not is_archive(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
        yield archive.extract(path, Path(folder))
