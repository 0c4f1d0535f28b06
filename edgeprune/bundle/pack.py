"""A bundle on disk: a folder and the same as one archive, each whole or not there.

Everything is written aside and swapped in at the end, so an earlier bundle of the same name stays as it is until the
new one is complete: whatever fails in between, and wherever the process is killed.
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
from edgeprune.bundle.manifest import BudgetReport, FileEntry, Manifest
from edgeprune.bundle.measurements import Measurements
from edgeprune.bundle.replacement_check import check_replaceable
from edgeprune.errors import BundleError

Content = Path | bytes | str
Drawn = Content | Callable[[Manifest], Content]
"""Content of a file; a function makes that of a page about the whole bundle from the complete manifest."""
_OWN = (manifests.NAME, measurements.NAME, *signature.NAMES)
_STALE_S = 60


@dataclass(frozen=True)
class PackedBundle:
    """A bundle that was written.

    Attributes:
        folder: ``<output>/<name>/``.
        archive: ``<output>/<name>.tar.gz``.
        manifest: As written, with the entries of all files.
    """

    folder: Path
    archive: Path
    manifest: Manifest


def write(
    folder: Path,
    contents: Mapping[str, Content],
    manifest: Manifest,
    *,
    measured: Mapping[str, Drawn] | None = None,
    verdicts: Sequence[BudgetReport] = (),
    force: bool = False,
) -> PackedBundle:
    """Write the bundle ``folder`` and ``folder`` + ``.tar.gz`` beside it, in place of earlier ones.

    Archive members have the time ``SOURCE_DATE_EPOCH`` (seconds, default 0), so the same contents and manifest give the
    same bytes; see ``archive``.

    Args:
        folder: ``dist/<recipe>-<target>``.
        contents: The reproducible files: by path in the bundle, a file to copy, or what to write (text as UTF-8).
        manifest: Its ``files`` are filled in.
        measured: Files that change from run to run, such as ``profile.json``, or what makes them of the complete
            manifest. They are in the folder, but neither in the manifest nor in the archive; ``measured.json`` has
            their hashes.
        verdicts: On what was measured, for ``measured.json``.
        force: Replace ``folder`` and the archive whatever they hold.

    Raises:
        BundleError: A path that leaves the bundle or comes twice, ``SOURCE_DATE_EPOCH`` is not a whole number, or
            files that are not part of an earlier bundle would be lost.
        OSError: The disk is full, or the folder cannot be written; earlier bundles are as before.
    """
    measured = measured or {}
    bundle_paths.check([*contents, *measured], own=_OWN)
    epoch = source_date_epoch() or 0
    folder.parent.mkdir(parents=True, exist_ok=True)
    archive = archive_of(folder)
    if not force:
        check_replaceable(folder, archive)
    with _aside(folder) as aside:
        new = aside / folder.name
        for path, content in contents.items():
            _write(new / path, content)
        entries = _entries(new, contents)
        manifest = manifest.model_copy(update={"files": entries})
        _write(new / manifests.NAME, manifest.to_json())
        for path, drawn in measured.items():
            _write(new / path, drawn(manifest) if callable(drawn) else drawn)
        if measured:
            record = Measurements(
                manifest=files.sha256(new / manifests.NAME), files=_entries(new, measured), budgets=tuple(verdicts)
            )
            _write(new / measurements.NAME, record.to_json())
        archives.write(aside / archive.name, new, [*contents, manifests.NAME], epoch)
        for inner in new.rglob("*/"):
            files.sync(inner)
        files.sync(new)
        exchange(new, folder)
        if archive.is_dir() and not archive.is_symlink():
            exchange(aside / archive.name, archive)
        else:
            (aside / archive.name).replace(archive)
        signature.beside(archive).unlink(missing_ok=True)  # of the one before
        files.sync(folder.parent)
    return PackedBundle(folder, archive, manifest)


def archive_of(folder: Path) -> Path:
    """The archive beside the bundle ``folder``."""
    return folder.with_name(f"{folder.name}.tar.gz")


def _entries(folder: Path, paths: Iterable[str]) -> dict[str, FileEntry]:
    return {
        path: FileEntry(sha256=files.sha256(folder / path), bytes=(folder / path).stat().st_size)
        for path in sorted(paths)
    }


def source_date_epoch() -> int | None:
    """``SOURCE_DATE_EPOCH``, in seconds since 1970; None where it is not set.

    Raises:
        BundleError: It is no whole number.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise BundleError(f"SOURCE_DATE_EPOCH is '{text}': it must be whole seconds since 1970")
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
def _aside(folder: Path) -> Iterator[Path]:
    """A folder beside ``folder`` that goes away at the end; one that a killed run left behind goes first.

    A lock on the folder tells a live run from a dead one: the system drops it with the process.
    """
    for left in folder.parent.glob(f".{folder.name}.*.tmp"):
        if time.time() - left.stat().st_mtime > _STALE_S:
            with _locked(left) as alone:
                if alone:
                    shutil.rmtree(left)
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    aside.mkdir()
    try:
        with _locked(aside):
            yield aside
    finally:
        shutil.rmtree(aside)


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
