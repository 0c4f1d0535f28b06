"""Reader and writer of bundle archives, which have exactly one valid byte sequence for each manifest.

The manifest is the first member, and the others follow in sorted order. Each member is a regular file with the same
time and owner 0; its mode depends on its name. The reader computes every following byte from the manifest and compares
it with the archive. It does not depend on a general tar parser, which a hostile archive could mislead.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from edgeprune import files, input_files
from edgeprune.bundle import bundle_paths
from edgeprune.bundle import manifest as manifests
from edgeprune.bundle.canonical_gzip import CanonicalGzip
from edgeprune.bundle.manifest import FileEntry, Manifest
from edgeprune.errors import BundleError

_COMPRESSION = 6
_BLOCK_BYTES = tarfile.BLOCKSIZE
_MOST_MANIFEST_BYTES = 16 << 20
_MOST_MEMBER_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 20
_KINDS = {
    tarfile.LNKTYPE: "a link",
    tarfile.SYMTYPE: "a link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
    tarfile.DIRTYPE: "a folder",
}


def mode(path: str) -> int:
    """Return the mode of a file in a bundle; scripts are executable."""
    return 0o755 if PurePosixPath(path).suffix in (".py", ".sh") else 0o644


def write(path: Path, folder: Path, members: Sequence[str], epoch: int) -> None:
    """Write ``members`` of ``folder``, including the manifest, to ``path`` as a reproducible ``.tar.gz``.

    Args:
        path: Path of the archive.
        folder: Folder of the bundle; its name is also the name of the folder in the archive.
        members: Paths of the files, relative to ``folder``.
        epoch: Modification time of all members, in seconds since 1970.
    """
    with (
        open(path, "wb") as file,
        gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=epoch) as compressed,
    ):
        for member in _ordered(members):
            source = folder / member
            compressed.write(_header(folder.name, member, source.stat().st_size, epoch))
            with open(source, "rb") as content:
                while chunk := content.read(_CHUNK_BYTES):
                    compressed.write(chunk)
            compressed.write(bytes(-source.stat().st_size % _BLOCK_BYTES))
        compressed.write(bytes(2 * _BLOCK_BYTES))
        compressed.write(bytes(-compressed.tell() % tarfile.RECORDSIZE))
    files.sync(path)


Receive = Callable[[str, bytes], None]
"""Callback that receives the path of a member and the next part of its content."""


def read(path: Path, receive: Receive | None = None) -> tuple[Manifest, bytes]:
    """Verify every byte of the archive at ``path`` without extracting anything.

    At most the number of bytes that the manifest lists is read.

    Args:
        path: Path of the archive.
        receive: Callback for the content of all members except the manifest, in parts. A member is verified only when
            ``read`` returns, so the caller must discard everything if it raises.

    Returns:
        The manifest and its text.

    Raises:
        BundleError: The file is not the archive of a bundle, is damaged, or differs from what EdgePrune writes. The
            message names the member.
    """
    with _opened(path, receive) as reader:
        return reader.read()


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of the archive at ``path``, and nothing after it.

    Raises:
        BundleError: The file is not the archive of a bundle, or its manifest is damaged.
    """
    with _opened(path) as reader:
        return reader.manifest()[0]


def read_member(path: Path, member: str) -> tuple[Manifest, bytes | None]:
    """Verify the archive at ``path`` like ``read``, and return its manifest and the content of one member.

    The content is None if the archive has no such member.

    Raises:
        BundleError: See ``read``; also raised if the member has more than 16 MiB.
    """
    content = bytearray()

    def receive(name: str, part: bytes) -> None:
        if name == member:
            content.extend(part)
            if len(content) > _MOST_MEMBER_BYTES:
                raise BundleError(f"{path}: {member} is larger than the limit of {_MOST_MEMBER_BYTES:,} bytes")

    manifest, _ = read(path, receive)
    return manifest, bytes(content) if member in manifest.files else None


def extract(path: Path, folder: Path) -> Path:
    """Verify the archive at ``path``, then write its files into a new folder ``bundle`` in the empty ``folder``.

    Nothing is written if the archive is damaged. The first pass also checks all paths (``paths.check``), so nothing can
    be written outside the new folder.

    Returns:
        The folder of the bundle.

    Raises:
        BundleError: See ``read``; also raised if the disk does not have enough free space for the files.
        OSError: The folder cannot be written.
    """
    size, free = sum(entry.bytes for entry in read(path)[0].files.values()), shutil.disk_usage(folder).free
    if size > free:
        raise BundleError(f"{path} needs {size:,} bytes when extracted, but {folder} has {free:,} bytes free")
    bundle = folder / "bundle"
    bundle.mkdir()

    def receive(name: str, part: bytes) -> None:
        file = bundle / name
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(file, "ab") as content:
            content.write(part)

    manifest, text = read(path, receive)
    (bundle / manifests.NAME).write_bytes(text)
    for name in manifest.files:
        file = bundle / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()  # an empty file has no part
        file.chmod(mode(name))
    return bundle


@contextmanager
def _opened(path: Path, receive: Receive | None = None) -> Iterator[_Reader]:
    try:
        with input_files.open_regular(path) as file:
            yield _Reader(path, CanonicalGzip(file), receive)
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise BundleError(f"{path} is not an archive of a bundle, or is damaged: {problem}") from problem
    except OSError as problem:
        raise BundleError(f"cannot read {path}: {problem.strerror}") from problem


def _ordered(members: Sequence[str]) -> Iterator[str]:
    yield manifests.NAME
    yield from sorted(member for member in members if member != manifests.NAME)


def _header(root: str, member: str, size: int, epoch: int) -> bytes:
    info = tarfile.TarInfo(f"{root}/{member}")
    info.size, info.mode, info.mtime = size, mode(member), epoch
    return info.tobuf(tarfile.PAX_FORMAT)


class _Reader:
    """Reader that compares each member of an archive with the bytes that the manifest requires."""

    def __init__(self, path: Path, file: CanonicalGzip, receive: Receive | None = None) -> None:
        self._path, self._file, self._receive = path, file, receive

    def read(self) -> tuple[Manifest, bytes]:
        manifest, text, root, epoch = self.manifest()
        bundle_paths.check(manifest.files, own=[manifests.NAME])
        for member in list(_ordered(list(manifest.files)))[1:]:
            self._member(root, member, manifest.files[member], epoch, manifest)
        self._zeros(2 * _BLOCK_BYTES, "the end", manifest=manifest)
        self._zeros(-self._file.tell() % tarfile.RECORDSIZE, "the end")
        if self._file.read(1):
            raise BundleError(f"{self._path}: data follow the end of the archive")
        self._file.finish()
        return manifest, text

    def manifest(self) -> tuple[Manifest, bytes, str, int]:
        """Return the manifest, its text, the name of the archive's folder, and the time of all members."""
        root, size, epoch = self._first(self._exactly(_BLOCK_BYTES, "the first header"))
        text = self._exactly(size, manifests.NAME)
        self._zeros(-size % _BLOCK_BYTES, manifests.NAME)
        return Manifest.parse(text, where=f"{manifests.NAME} in {self._path}"), text, root, epoch

    def _first(self, header: bytes) -> tuple[str, int, int]:
        info = self._header_info(header)
        root, _, member = info.name.partition("/")
        name = bundle_paths.printable(info.name)
        if member != manifests.NAME or not bundle_paths.is_inside(root):
            raise BundleError(
                f"{self._path}: expected {manifests.NAME} in one folder as the first member, found '{name}'"
            )
        if info.size > _MOST_MANIFEST_BYTES:
            raise BundleError(
                f"{self._path}: {name} has {info.size:,} bytes, but the limit is {_MOST_MANIFEST_BYTES:,}"
            )
        epoch = int(info.mtime)
        if epoch != self._file.epoch:
            raise BundleError(
                f"{self._path}: the gzip header has the time {self._file.epoch}, but the members have {epoch}"
            )
        self._compare(header, _header(root, member, info.size, epoch), info.name, None)
        return root, info.size, epoch

    def _member(self, root: str, member: str, entry: FileEntry, epoch: int, manifest: Manifest) -> None:
        expected = _header(root, member, entry.bytes, epoch)
        self._compare(self._exactly(len(expected), f"the header of {member}"), expected, f"{root}/{member}", manifest)
        digest, remaining = hashlib.sha256(), entry.bytes
        while remaining:
            chunk = self._exactly(min(remaining, _CHUNK_BYTES), member)
            digest.update(chunk)
            if self._receive is not None:
                self._receive(member, chunk)
            remaining -= len(chunk)
        if digest.hexdigest() != entry.sha256:
            raise BundleError(f"{self._path}: {member} was changed: its SHA-256 differs from the manifest")
        self._zeros(-entry.bytes % _BLOCK_BYTES, member)

    def _compare(self, header: bytes, expected: bytes, name: str, manifest: Manifest | None) -> None:
        if header == expected:
            return
        info = self._header_info(header[:_BLOCK_BYTES])
        self._refuse(info, name, manifest)

    def _refuse(self, info: tarfile.TarInfo, expected: str, manifest: Manifest | None) -> None:
        """Raise the error that describes how a header differs from the expected one."""
        inner, name = info.name.partition("/")[2], bundle_paths.printable(info.name)
        if info.type in _KINDS:
            reason = f"'{name}' is {_KINDS[info.type]}, but a bundle contains only regular files"
        elif info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):  # the first block of a long name, or an extension
            reason = f"expected the member '{expected}', found a header of type {info.type!r}"
        elif not bundle_paths.is_inside(info.name):
            reason = f"'{name}' is outside the bundle"
        elif info.name == expected:
            reason = f"the size, time, owner or mode of '{name}' differs from what EdgePrune writes"
        elif manifest is not None and (inner == manifests.NAME or inner in manifest.files):
            reason = f"expected the member '{expected}', found '{name}', which occurs twice or is out of order"
        else:
            reason = f"'{name}' is not listed in the manifest, or '{expected}' is missing"
        raise BundleError(f"{self._path}: {reason}")

    def _header_info(self, header: bytes) -> tarfile.TarInfo:
        if not any(header):
            raise BundleError(f"{self._path} ends before the last file of its manifest")
        try:
            return tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
        except (tarfile.TarError, ValueError) as problem:
            raise BundleError(f"{self._path} is not an archive of a bundle, or is damaged: {problem}") from problem

    def _exactly(self, size: int, what: str) -> bytes:
        parts, remaining = [], size
        while remaining and (part := self._file.read(min(remaining, _CHUNK_BYTES))):
            parts.append(part)
            remaining -= len(part)
        if remaining:
            raise BundleError(f"{self._path} is truncated in {what}")
        return b"".join(parts)

    def _zeros(self, size: int, what: str, manifest: Manifest | None = None) -> None:
        padding = self._exactly(size, what)
        if any(padding):
            if manifest is not None:
                self._refuse(self._header_info(padding[:_BLOCK_BYTES]), "the end", manifest)
            raise BundleError(f"{self._path}: the padding after {what} contains data")
