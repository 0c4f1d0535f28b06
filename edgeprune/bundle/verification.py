"""Whether a bundle is what its manifest says, byte for byte, and who signed it. Nothing of it is extracted or run."""

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

_MOST_TOLD = 10


@dataclass(frozen=True)
class VerifiedBundle:
    """A bundle in which every byte is accounted for.

    Attributes:
        path: Of the folder or archive.
        kind: Which of the two.
        manifest: As it was read.
        manifest_sha256: Of its text: the name of what was shipped.
        files: How many there are, the manifest and measurements among them.
        bytes: Of all of them.
        signer: Who signed the manifest; None where nobody did.
        measured: Files that were measured and are accounted for; an archive has none.
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
    """Account for every byte of the bundle at ``path``, a folder or a ``.tar.gz``.

    Args:
        path: Of the bundle.
        allowed_signers: Who may have signed it, see ``signature.verify``; then it must be signed. None: a signature
            that is there must be over this bundle, whoever made it.

    Raises:
        BundleError: A file was changed, is missing, extra, a link, or leaves the bundle; the manifest is damaged or of
            a newer schema; a signature is missing, over something else, or not that of an allowed signer.
    """
    if path.is_dir():
        return _Folder(path).verify(allowed_signers)
    manifest, text = archive.read(path)
    signer = _signer(text, manifests.NAME, signature.beside(path), allowed_signers)
    return VerifiedBundle(
        path, "archive", manifest, _sha256(text), len(manifest.files) + 1, _size(manifest.files) + len(text), signer, ()
    )


def sign(path: Path, key: Path) -> list[Path]:
    """Sign the bundle at ``path``, if every byte of it is accounted for.

    Of a folder the manifest, the measurements, and the same bundle's archive beside it are signed.

    Args:
        path: Of the folder or archive.
        key: See ``signature.sign``.

    Returns:
        The files that were written.

    Raises:
        BundleError: It is not whole, see ``verify``, or the key cannot be used.
    """
    if not path.is_dir():
        _, text = archive.read(path)
        return [_written(signature.beside(path), signature.sign(text, manifests.NAME, key))]
    folder = _Folder(path)
    folder.check()
    made = signature.sign(folder.text, manifests.NAME, key)
    signed = [_written(path / f"{manifests.NAME}{signature.SUFFIX}", made)]
    if folder.measured_text is not None:
        made_of_measured = signature.sign(folder.measured_text, measurements.NAME, key)
        signed.append(_written(path / f"{measurements.NAME}{signature.SUFFIX}", made_of_measured))
    packed = path.resolve().with_name(f"{path.resolve().name}.tar.gz")
    if packed.is_file() and archive.read(packed)[1] == folder.text:
        signed.append(_written(signature.beside(packed), made))
    return signed


class _Folder:
    """A bundle that lies in a folder."""

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
        """See to it that the files are those that are told, and nothing else."""
        own = (manifests.NAME, measurements.NAME, *signature.NAMES)
        bundle_paths.check([*self.manifest.files, *self._measured.files], own=own)
        if self._measured.manifest not in (None, _sha256(self.text)):
            raise BundleError(f"{self._path / measurements.NAME} belongs to another {manifests.NAME}")
        entries = {**self.manifest.files, **self._measured.files}
        found = dict(_walk(self._path))
        problems = [f"{bundle_paths.shown(name)} is {kind}" for name, kind in found.items() if kind]
        problems += [
            f"{bundle_paths.shown(name)} is extra"
            for name, kind in found.items()
            if not kind and name not in {*entries, *own}
        ]
        problems += [f"{name} is missing" for name in entries if name not in found]
        problems += [
            f"{name} was changed" for name in entries if found.get(name) == "" and not self._is(name, entries[name])
        ]
        if problems:
            more = f"; and {len(problems) - _MOST_TOLD} more" if len(problems) > _MOST_TOLD else ""
            raise BundleError(f"{self._path} is not what it says: {'; '.join(problems[:_MOST_TOLD])}{more}")

    def _is(self, name: str, entry: FileEntry) -> bool:
        with _opened(self._path / name) as file:
            if os.fstat(file.fileno()).st_size != entry.bytes:
                return False
            return files.digest(file) == entry.sha256

    def _signer(self, text: bytes, name: str, allowed_signers: Path | None) -> Signer | None:
        return _signer(text, name, self._path / f"{name}{signature.SUFFIX}", allowed_signers)


def _signer(text: bytes, name: str, place: Path, allowed_signers: Path | None) -> Signer | None:
    if place.is_file():
        return signature.verify(text, name, place, allowed_signers)
    if allowed_signers is not None:
        raise BundleError(f"{name} is not signed: there is no {place}; 'edgeprune sign' makes it")
    return None


def _walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Everything below ``folder``: its path, and what it is where it is no plain file."""
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
    """A plain file for reading: through no link, and without waiting for a pipe."""
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
