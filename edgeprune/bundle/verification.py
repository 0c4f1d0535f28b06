"""Verification of a bundle against its manifest and signature, without extracting or running anything."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from edgeprune import files, input_files
from edgeprune.bundle import archive, bundle_paths, measurements, signature
from edgeprune.bundle import manifest as manifests
from edgeprune.bundle.manifest import FileEntry, Manifest
from edgeprune.bundle.measurements import Measurements
from edgeprune.bundle.signature import Signer
from edgeprune.errors import BundleError

_MAX_PROBLEMS = 10


@dataclass(frozen=True)
class VerifiedBundle:
    """Result of a successful verification.

    Attributes:
        path: Path of the folder or archive.
        kind: Whether ``path`` is a folder or an archive.
        manifest: Manifest of the bundle.
        manifest_sha256: SHA-256 of the text of the manifest, which identifies the bundle.
        files: Number of files, including the manifest and the measurements.
        bytes: Total size of all files in bytes.
        signer: Signer of the manifest; None if it is not signed.
        measured: Verified files that change from run to run; empty for an archive.
    """

    path: Path
    kind: Literal["folder", "archive"]
    manifest: Manifest
    manifest_sha256: str
    files: int
    bytes: int
    signer: Signer | None
    measured: tuple[str, ...]


def verify(path: Path, allowed_signers: Path | None = None) -> VerifiedBundle:
    """Verify every byte of the bundle at ``path``, which is a folder or a ``.tar.gz``.

    Args:
        path: Path of the bundle.
        allowed_signers: File of allowed signers, see ``signature.verify``; the bundle must then be signed. None accepts
            bundles without a signature, or with a valid signature of any signer.

    Raises:
        BundleError: A file is missing, changed, not in the manifest, a link, or outside the bundle; the manifest is
            damaged or has a newer schema; or a signature is missing, invalid, or not by an allowed signer.
    """
    if path.is_dir():
        return _Folder(path).verify(allowed_signers)
    manifest, text = archive.read(path)
    signer = _signer(text, manifests.NAME, signature.signature_path(path), allowed_signers)
    return VerifiedBundle(
        path, "archive", manifest, _sha256(text), len(manifest.files) + 1, _size(manifest.files) + len(text), signer, ()
    )


def sign(path: Path, key: Path) -> list[Path]:
    """Verify the bundle at ``path`` and sign it.

    For a folder, this signs the manifest, the measurements, and the archive of the same bundle next to the folder.

    Args:
        path: Path of the folder or archive.
        key: Path of the SSH key, see ``signature.sign``.

    Returns:
        Paths of the written signatures.

    Raises:
        BundleError: The verification fails, see ``verify``, or the key cannot be used.
    """
    if not path.is_dir():
        _, text = archive.read(path)
        return [_written(signature.signature_path(path), signature.sign(text, manifests.NAME, key))]
    folder = _Folder(path)
    folder.check()
    content = signature.sign(folder.text, manifests.NAME, key)
    paths = [_written(path / f"{manifests.NAME}{signature.SUFFIX}", content)]
    if folder.measured_text is not None:
        measured_content = signature.sign(folder.measured_text, measurements.NAME, key)
        paths.append(_written(path / f"{measurements.NAME}{signature.SUFFIX}", measured_content))
    packed = path.resolve().with_name(f"{path.resolve().name}.tar.gz")
    if packed.is_file() and archive.read(packed)[1] == folder.text:
        paths.append(_written(signature.signature_path(packed), content))
    return paths


class _Folder:
    """A bundle in a folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.text = _text(path / manifests.NAME)
        self.manifest = Manifest.parse(self.text, where=str(path / manifests.NAME))
        self.measured_text = _text(path / measurements.NAME) if (path / measurements.NAME).exists() else None
        self._measured = Measurements()
        if self.measured_text is not None:
            self._measured = Measurements.parse(self.measured_text, where=str(path / measurements.NAME))

    def verify(self, allowed_signers: Path | None) -> VerifiedBundle:
        self.check()
        signer = self._signer(self.text, manifests.NAME, allowed_signers)
        if self.measured_text is not None:
            self._signer(self.measured_text, measurements.NAME, allowed_signers)
        entries = {**self.manifest.files, **self._measured.files}
        texts = [text for text in (self.text, self.measured_text) if text is not None]
        return VerifiedBundle(
            self._path,
            "folder",
            self.manifest,
            _sha256(self.text),
            len(entries) + len(texts),
            _size(entries) + sum(map(len, texts)),
            signer,
            tuple(sorted(self._measured.files)),
        )

    def check(self) -> None:
        """Check that the folder contains exactly the listed files, with their hashes."""
        own = (manifests.NAME, measurements.NAME, *signature.NAMES)
        bundle_paths.check([*self.manifest.files, *self._measured.files], own=own)
        if self._measured.manifest not in (None, _sha256(self.text)):
            raise BundleError(
                f"{self._path / measurements.NAME} belongs to another {manifests.NAME}: its SHA-256 of the manifest "
                "differs"
            )
        entries = {**self.manifest.files, **self._measured.files}
        actual = dict(_walk(self._path))
        problems = [f"{bundle_paths.printable(name)} is {kind}" for name, kind in actual.items() if kind]
        problems += [
            f"{bundle_paths.printable(name)} is not listed"
            for name, kind in actual.items()
            if not kind and name not in {*entries, *own}
        ]
        problems += [f"{name} is missing" for name in entries if name not in actual]
        problems += [
            f"{name} was changed" for name in entries if actual.get(name) == "" and not self._is(name, entries[name])
        ]
        if problems:
            more = f"; and {len(problems) - _MAX_PROBLEMS} more" if len(problems) > _MAX_PROBLEMS else ""
            raise BundleError(f"{self._path} does not match its manifest: {'; '.join(problems[:_MAX_PROBLEMS])}{more}")

    def _is(self, name: str, entry: FileEntry) -> bool:
        with _opened(self._path / name) as file:
            if os.fstat(file.fileno()).st_size != entry.bytes:
                return False
            return files.digest(file) == entry.sha256

    def _signer(self, text: bytes, name: str, allowed_signers: Path | None) -> Signer | None:
        return _signer(text, name, self._path / f"{name}{signature.SUFFIX}", allowed_signers)


def _signer(text: bytes, name: str, signature_path: Path, allowed_signers: Path | None) -> Signer | None:
    if signature_path.is_file():
        return signature.verify(text, name, signature_path, allowed_signers)
    if allowed_signers is not None:
        raise BundleError(f"{name} is not signed: {signature_path} does not exist; sign it with 'edgeprune sign'")
    return None


def _walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path of everything in ``folder``, and its type if it is not a regular file (else "")."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            name, mode = f"{prefix}{entry.name}", entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                inner = list(_walk(Path(entry.path), f"{name}/"))
                yield from inner or [(name, "an empty folder")]
            elif stat.S_ISLNK(mode):
                yield name, "a link"
            else:
                yield name, "" if stat.S_ISREG(mode) else "a device, pipe or socket"


def _text(path: Path) -> bytes:
    try:
        return input_files.read_bytes(path, follow_links=False)
    except OSError as problem:
        raise BundleError(f"cannot read {path}: {problem.strerror}") from problem


def _opened(path: Path) -> BinaryIO:
    """Open a regular file for reading, without following links or waiting for a pipe."""
    try:
        return input_files.open_regular(path, follow_links=False)
    except OSError as problem:
        raise BundleError(f"cannot read {path}: {problem.strerror}") from problem


def _written(path: Path, content: bytes) -> Path:
    files.write_atomic(path, content)
    return path


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _size(entries: dict[str, FileEntry]) -> int:
    return sum(entry.bytes for entry in entries.values())
