"""A bundle replaces an earlier bundle and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeprune.bundle import pack
from edgeprune.bundle.manifest import Manifest
from edgeprune.errors import BundleError
from tests.bundle.test_pack import snapshot


def _write(dist: Path, manifest: Manifest, *, force: bool = False, model: str = "1") -> pack.PackedBundle:
    measured = {"profile.json": "{}"}
    return pack.write(dist / "b", {"model.onnx": model, "cpp/run.cc": "x"}, manifest, measured=measured, force=force)


def _foreign_folder(dist: Path) -> None:
    (dist / "b").mkdir()
    (dist / "b" / "thesis.tex").write_text("mine")


def _file_in_place_of_the_folder(dist: Path) -> None:
    (dist / "b").write_text("mine")


def _broken_link(dist: Path) -> None:
    (dist / "b").symlink_to(dist / "nowhere")


def _foreign_archive(dist: Path) -> None:
    (dist / "b.tar.gz").write_bytes(b"mine")


def _folder_in_place_of_the_archive(dist: Path) -> None:
    (dist / "b.tar.gz").mkdir()
    (dist / "b.tar.gz" / "mine").write_text("mine")


def _manifest_of_something_else(dist: Path) -> None:
    (dist / "b").mkdir()
    (dist / "b" / "manifest.json").write_text('{"name": "my web app"}')


_FOREIGN = [
    _foreign_folder,
    _file_in_place_of_the_folder,
    _broken_link,
    _foreign_archive,
    _folder_in_place_of_the_archive,
    _manifest_of_something_else,
]


@pytest.mark.parametrize("lay", _FOREIGN, ids=lambda lay: lay.__name__.strip("_"))
def test_foreign_files_are_kept_unless_forced(lay: Callable[[Path], None], tmp_path: Path, manifest: Manifest) -> None:
    dist = tmp_path / "dist"
    dist.mkdir()
    lay(dist)
    before, links = snapshot(dist), {path: path.is_symlink() for path in dist.iterdir()}
    with pytest.raises(BundleError, match="--force"):
        _write(dist, manifest)
    assert snapshot(dist) == before
    assert {path: path.is_symlink() for path in dist.iterdir()} == links
    packed = _write(dist, manifest, force=True)
    assert Manifest.load(packed.folder) == packed.manifest
    assert packed.archive.is_file()
    assert {path.name for path in dist.iterdir()} == {"b", "b.tar.gz"}


@pytest.mark.parametrize("path", ["notes.txt", "cpp/mine.cc", "own/deep/file", "empty", "__pycache__/data.bin"])
def test_files_laid_into_a_bundle_are_kept_unless_forced(path: str, tmp_path: Path, manifest: Manifest) -> None:
    packed = _write(tmp_path, manifest)
    added = packed.folder / path
    added.parent.mkdir(parents=True, exist_ok=True)
    if path == "empty":
        added.mkdir()
    else:
        added.write_text("mine")
    with pytest.raises(BundleError, match=path):
        _write(tmp_path, manifest, model="2")
    assert added.exists()
    assert (packed.folder / "model.onnx").read_text() == "1"
    _write(tmp_path, manifest, model="2", force=True)
    assert not added.exists()
    assert (packed.folder / "model.onnx").read_text() == "2"


def test_earlier_bundles_and_empty_folders_are_replaced(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "b").mkdir()
    packed = _write(tmp_path, manifest)
    (packed.folder / "__pycache__").mkdir()
    (packed.folder / "__pycache__" / "run.cpython-311.pyc").write_bytes(b"")
    (packed.folder / "manifest.json.sig").write_text("signature")
    (packed.folder / "model.onnx").unlink()
    _write(tmp_path, manifest, model="2")
    assert (packed.folder / "model.onnx").read_text() == "2"
    shutil.rmtree(packed.folder)
    _write(tmp_path, manifest)
