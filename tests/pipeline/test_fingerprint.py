from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgeprune.pipeline import fingerprint
from edgeprune.pipeline.fingerprint import Hashes


def test_a_file_hash_follows_its_content(tmp_path: Path) -> None:
    file = tmp_path / "w"
    file.write_bytes(b"one")
    hashes = Hashes(tmp_path / "hashes.json")
    first = hashes.file(file)
    file.write_bytes(b"two")
    assert hashes.file(file) != first
    file.write_bytes(b"one")
    assert hashes.file(file) == first


def test_an_old_file_is_read_once_and_again_when_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "w"
    file.write_bytes(b"one")
    os.utime(file, ns=(10**18, 10**18))
    hashes = Hashes(tmp_path / "hashes.json")
    first = hashes.file(file)
    hashes.save()
    assert str(file) in (tmp_path / "hashes.json").read_text()
    assert Hashes(tmp_path / "hashes.json").file(file) == first
    file.write_bytes(b"two")
    assert Hashes(tmp_path / "hashes.json").file(file) != first


def test_a_folder_hash_sees_content_and_names(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "x").write_bytes(b"1")
    hashes = Hashes(tmp_path / "hashes.json")
    first = hashes.folder(folder)
    (folder / "a" / "x").rename(folder / "a" / "y")
    assert hashes.folder(folder) != first
    (folder / "a" / "y").rename(folder / "a" / "x")
    assert hashes.folder(folder) == first


def test_code_beside_a_file_and_in_its_packages_counts(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("from inner import layer")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "__init__.py").write_text("")
    (tmp_path / "inner" / "layer.py").write_text("a = 1")
    (tmp_path / "notes.txt").write_text("")
    hashes = Hashes(tmp_path / "hashes.json")
    first = hashes.code("model.py:build", tmp_path)
    (tmp_path / "notes.txt").write_text("changed")
    assert hashes.code("model.py:build", tmp_path) == first
    (tmp_path / "inner" / "layer.py").write_text("a = 2")
    assert hashes.code("model.py:build", tmp_path) != first
    assert hashes.code("missing.py:build", tmp_path) is None


def test_a_package_in_the_working_folder_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mynet").mkdir()
    (tmp_path / "mynet" / "deep.py").write_text("a = 1")
    hashes = Hashes(tmp_path / "hashes.json")
    first = hashes.code("mynet.deep:make", Path("/"))
    assert first is not None
    (tmp_path / "mynet" / "deep.py").write_text("a = 2")
    assert hashes.code("mynet.deep:make", Path("/")) != first
    assert hashes.code("no_such_package_anywhere:make", Path("/")) is None


def test_an_installed_package_is_found_without_importing_it() -> None:
    assert Hashes(Path("unused")).code("sklearn.datasets:load_digits", Path("/")) is not None


def test_digest_ignores_key_order_only() -> None:
    assert fingerprint.digest({"a": 1, "b": 2}) == fingerprint.digest({"b": 2, "a": 1})
    assert fingerprint.digest({"a": 1}) != fingerprint.digest({"a": 1.5})
