"""Atomic writer of a bundle: a folder, and an archive with the same content.

All files are written to a temporary folder, which replaces the earlier bundle at the end. The earlier bundle of the
same name therefore remains intact until the new one is complete, even if the process fails or is killed.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeprune import files
from edgeprune.bundle import archive as archives
from edgeprune.bundle import bundle_paths, measurements, signature
from edgeprune.bundle import manifest as manifests
from edgeprune.bundle.atomic_swap import exchange
from edgeprune.bundle.budget_report import BudgetReport
from edgeprune.bundle.manifest import FileEntry, Manifest
from edgeprune.bundle.measurements import Measurements
from edgeprune.bundle.replacement_check import check_replaceable
from edgeprune.errors import BundleError

Content = Path | bytes | str
ContentSource = Content | Callable[[Manifest], Content]
"""Content of a file, or a function that creates it from the complete manifest, as for the report page."""
_OWN = (manifests.NAME, measurements.NAME, *signature.NAMES)
_STALE_S = 60


@dataclass(frozen=True)
class PackedBundle:
    """A bundle that was written.

    Attributes:
        folder: Path of the folder, ``<output>/<name>/``.
        archive: Path of the archive, ``<output>/<name>.tar.gz``.
        manifest: Written manifest, with the entries of all files.
    """

    folder: Path
    archive: Path
    manifest: Manifest


def write(
    folder: Path,
    contents: Mapping[str, Content],
    manifest: Manifest,
    *,
    measured: Mapping[str, ContentSource] | None = None,
    budgets: Sequence[BudgetReport] = (),
    force: bool = False,
) -> PackedBundle:
    """Write the bundle ``folder`` and the archive ``<folder>.tar.gz``, and replace earlier ones.

    All archive members have the time ``SOURCE_DATE_EPOCH`` (in seconds, default 0), so the same contents and manifest
    produce the same bytes; see ``archive``.

    Args:
        folder: Folder to write, such as ``dist/<recipe>-<target>``.
        contents: Reproducible files by path in the bundle: a file to copy, or its content (text is written as UTF-8).
        manifest: Manifest without ``files``, which this function adds.
        measured: Files that change from run to run, such as ``profile.json``, or functions that create them from the
            complete manifest. They are stored in the folder, but are part of neither the manifest nor the archive;
            ``measured.json`` contains their hashes.
        budgets: Results of the budgets on measured quantities, for ``measured.json``.
        force: Whether to replace ``folder`` and the archive regardless of their content.

    Raises:
        BundleError: A path leaves the bundle or occurs twice, ``SOURCE_DATE_EPOCH`` is not a whole number, or files
            that are not part of an earlier bundle would be lost.
        OSError: The disk is full, or the folder cannot be written; earlier bundles are unchanged.
    """
    measured = measured or {}
    bundle_paths.check([*contents, *measured], own=_OWN)
    epoch = source_date_epoch() or 0
    folder.parent.mkdir(parents=True, exist_ok=True)
    archive = archive_of(folder)
    if not force:
        check_replaceable(folder, archive)
    with _temporary_folder(folder) as temporary:
        new = temporary / folder.name
        for path, content in contents.items():
            _write(new / path, content)
        entries = _entries(new, contents)
        manifest = manifest.model_copy(update={"files": entries})
        _write(new / manifests.NAME, manifest.to_json())
        for path, source in measured.items():
            _write(new / path, source(manifest) if callable(source) else source)
        if measured:
            record = Measurements(
                manifest=files.sha256(new / manifests.NAME), files=_entries(new, measured), budgets=tuple(budgets)
            )
            _write(new / measurements.NAME, record.to_json())
        archives.write(temporary / archive.name, new, [*contents, manifests.NAME], epoch)
        for inner in new.rglob("*/"):
            files.sync(inner)
        files.sync(new)
        exchange(new, folder)
        if archive.is_dir() and not archive.is_symlink():
            exchange(temporary / archive.name, archive)
        else:
            (temporary / archive.name).replace(archive)
        signature.signature_path(archive).unlink(missing_ok=True)  # of the earlier archive
        files.sync(folder.parent)
    return PackedBundle(folder, archive, manifest)


def archive_of(folder: Path) -> Path:
    """Return the path of the archive of the bundle ``folder``."""
    return folder.with_name(f"{folder.name}.tar.gz")


def _entries(folder: Path, paths: Iterable[str]) -> dict[str, FileEntry]:
    return {
        path: FileEntry(sha256=files.sha256(folder / path), bytes=(folder / path).stat().st_size)
        for path in sorted(paths)
    }


def source_date_epoch() -> int | None:
    """Return ``SOURCE_DATE_EPOCH`` in seconds since 1970; None if it is not set.

    Raises:
        BundleError: The variable is not a whole number.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise BundleError(f"SOURCE_DATE_EPOCH: got '{text}', must be a whole number of seconds since 1970")
    return int(text)


def _write(path: Path, content: Content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(archives.mode(path.name))
    files.sync(path)


@contextmanager
def _temporary_folder(folder: Path) -> Iterator[Path]:
    """Create a temporary folder next to ``folder`` and remove it at the end.

    Temporary folders of killed processes are removed first. A running process holds a lock on its folder, which the
    system releases when the process ends.
    """
    for stale in folder.parent.glob(f".{folder.name}.*.tmp"):
        if time.time() - stale.stat().st_mtime > _STALE_S:
            with _locked(stale) as is_abandoned:
                if is_abandoned:
                    shutil.rmtree(stale)
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        with _locked(temporary):
            yield temporary
    finally:
        shutil.rmtree(temporary)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
