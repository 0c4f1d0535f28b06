"""Check that writing a bundle replaces only an earlier bundle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from edgeprune.bundle import archive as archives
from edgeprune.bundle import bundle_paths, measurements, signature
from edgeprune.bundle import manifest as manifests
from edgeprune.bundle.manifest import Manifest
from edgeprune.bundle.measurements import Measurements
from edgeprune.errors import BundleError

_OWN = (manifests.NAME, measurements.NAME, *signature.NAMES)
_SHOWN_FILES = 3
_HINT = "choose another --output, move the existing files away, or replace them with --force"


def check_replaceable(folder: Path, archive: Path) -> None:
    """Check that ``folder`` and ``archive`` can be replaced by a bundle without losing anything else.

    Missing paths and an empty folder can be replaced, and so can an earlier bundle that holds no other files.

    Raises:
        BundleError: Something else would be lost. The message names it.
    """
    _check_folder(folder)
    _check_archive(archive)


def _check_folder(folder: Path) -> None:
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise BundleError(f"cannot write the bundle {folder}: a file or a broken link has this name; {_HINT}")
    if not any(folder.iterdir()):
        return
    try:
        listed = {*_OWN, *Manifest.load(folder).files, *Measurements.load(folder).files}
    except BundleError as problem:
        raise BundleError(
            f"cannot write the bundle {folder}: the folder exists and is not a bundle ({problem}); {_HINT}"
        ) from problem
    foreign = sorted(path for path in _contents(folder) if path not in listed)
    if foreign:
        names = ", ".join(bundle_paths.printable(path) for path in foreign[:_SHOWN_FILES])
        more = f" and {len(foreign) - _SHOWN_FILES} more" if len(foreign) > _SHOWN_FILES else ""
        raise BundleError(
            f"cannot replace the bundle {folder}: it holds files that are not part of it ({names}{more}); {_HINT}"
        )


def _contents(folder: Path) -> Iterator[str]:
    """Yield the paths of all files, links and empty folders in ``folder``, without Python's bytecode caches."""
    for root, folders, names in os.walk(folder):
        where = Path(root)
        if where.name == "__pycache__" and all(name.endswith(".pyc") for name in names) and not folders:
            continue
        links = [name for name in folders if (where / name).is_symlink()]
        for name in (*names, *links):
            yield (where / name).relative_to(folder).as_posix()
        if not (names or folders) and where != folder:
            yield where.relative_to(folder).as_posix()


def _check_archive(archive: Path) -> None:
    if not os.path.lexists(archive):
        return
    if not archive.is_file():
        raise BundleError(f"cannot write the archive {archive}: a folder or a broken link has this name; {_HINT}")
    try:
        archives.read_manifest(archive)
    except BundleError as problem:
        raise BundleError(
            f"cannot write the archive {archive}: the file exists and is not a bundle ({problem}); {_HINT}"
        ) from problem
