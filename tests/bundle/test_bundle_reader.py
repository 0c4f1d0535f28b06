"""A bundle is read from its folder, its archive or one of its files, and nothing else is taken for one."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from edgeprune.bundle import pack
from edgeprune.bundle.bundle_reader import read
from edgeprune.bundle.manifest import Manifest
from edgeprune.errors import BundleError


@pytest.fixture
def packed(tmp_path: Path, manifest: Manifest) -> pack.PackedBundle:
    return pack.write(
        tmp_path / "dist" / "digits-host",
        {"model.onnx": b"1" * 5000},
        manifest,
        measured={"profile.json": '{"models": {}}'},
    )


def test_every_form_has_the_same_manifest(packed: pack.PackedBundle) -> None:
    folder, archive = read(packed.folder), read(packed.archive)
    bare, profile = read(packed.folder / "manifest.json"), read(packed.folder / "profile.json")
    assert folder.manifest == archive.manifest == bare.manifest == packed.manifest
    assert (folder.profile, archive.profile, bare.profile) == ('{"models": {}}', None, None)
    assert (profile.manifest, profile.profile) == (None, '{"models": {}}')


def archive_of(path: Path, *members: tuple[str, bytes, bytes]) -> Path:
    with (
        open(path, "wb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w") as archive,
    ):
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(content)
            info.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            archive.addfile(info, io.BytesIO(content))
    return path


def test_folder_without_a_bundle_is_refused(tmp_path: Path, packed: pack.PackedBundle) -> None:
    text = (packed.folder / "manifest.json").read_bytes()
    whole = packed.archive.read_bytes()
    newer = text.replace(b'"schema": 2', b'"schema": 9', 1)
    files = {
        "cut.tar.gz": whole[:200],
        "noise.tar.gz": b"noise" * 100,
        "zeros.tar.gz": gzip.compress(b"\0" * 4096),
        "garbage.json": b"\xff\xfe",
        "list.json": b"[1, 2]",
        "three.json": b"3",
        "deep.json": b"[" * 200_000,
        "deeper.json": b'{"models": ' + b"[" * 200_000,
        "other.json": b'{"schema": 1}',
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    bad = [tmp_path / name for name in files]
    bad += [
        archive_of(tmp_path / "none.tar.gz", ("a/model.onnx", tarfile.REGTYPE, b"1")),
        archive_of(tmp_path / "link.tar.gz", ("a/manifest.json", tarfile.SYMTYPE, b"")),
        archive_of(tmp_path / "folder.tar.gz", ("a/manifest.json", tarfile.DIRTYPE, b"")),
        archive_of(tmp_path / "newer.tar.gz", ("a/manifest.json", tarfile.REGTYPE, newer)),
        archive_of(tmp_path / "large.tar.gz", ("a/manifest.json", tarfile.REGTYPE, b" " * (17 << 20))),
        tmp_path / "missing",
        tmp_path,
    ]
    before = sorted(path.name for path in tmp_path.iterdir())
    for path in bad:
        with pytest.raises(BundleError) as output:
            read(path)
        assert str(path) in str(output.value), output.value
    with pytest.raises(BundleError, match=r"schema 9\b.* 2\b"):
        read(tmp_path / "newer.tar.gz")
    assert sorted(path.name for path in tmp_path.iterdir()) == before
