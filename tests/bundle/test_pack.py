"""Packing: the same bytes for the same content, and an earlier bundle that survives whatever happens."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeprune.bundle import pack
from edgeprune.bundle.atomic_swap import exchange
from edgeprune.bundle.manifest import Manifest
from edgeprune.bundle.measurements import Measurements
from edgeprune.errors import BundleError


def snapshot(folder: Path) -> dict[str, str]:
    """Content by path of everything below ``folder``."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def contents(folder: Path, text: str = "model") -> dict[str, pack.Content]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "made.onnx").write_text(text)
    return {"model.onnx": folder / "made.onnx", "run.py": "print(1)\n", "plan/plan.json": b"{}"}


def test_archive_has_the_files_of_the_folder(tmp_path: Path, manifest: Manifest) -> None:
    packed = pack.write(
        tmp_path / "dist" / "digits-host", contents(tmp_path), manifest, measured={"profile.json": "{}"}
    )
    folder = snapshot(packed.folder)
    assert folder.keys() == {"manifest.json", "model.onnx", "run.py", "plan/plan.json", "profile.json", "measured.json"}
    assert Measurements.load(packed.folder).files.keys() == {"profile.json"}
    stored = Manifest.load(packed.folder)
    assert stored == packed.manifest
    assert list(stored.files) == ["model.onnx", "plan/plan.json", "run.py"]
    for path, entry in stored.files.items():
        assert entry.sha256 == folder[path]
        assert entry.bytes == (packed.folder / path).stat().st_size
    assert os.access(packed.folder / "run.py", os.X_OK)
    with tarfile.open(packed.archive) as archive:
        archive.extractall(tmp_path / "out", filter="data")
        members = archive.getmembers()
    del folder["profile.json"], folder["measured.json"]
    assert snapshot(tmp_path / "out" / "digits-host") == folder
    assert [member.name for member in members] == sorted(f"digits-host/{path}" for path in folder)
    assert {(member.uid, member.gid, member.uname, member.gname, member.mtime) for member in members} == {
        (0, 0, "", "", 0)
    }
    assert [path.name for path in sorted((tmp_path / "dist").iterdir())] == ["digits-host", "digits-host.tar.gz"]


def test_archive_of_the_same_content_has_the_same_bytes(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = pack.write(tmp_path / "a" / "b", contents(tmp_path / "x"), manifest, measured={"profile.json": "1"})
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    previous = os.umask(0o077)
    try:
        shuffled = dict(reversed(contents(tmp_path / "y").items()))
        two = pack.write(tmp_path / "c" / "b", shuffled, manifest, measured={"profile.json": "22"})
    finally:
        os.umask(previous)
        monkeypatch.undo()
        time.tzset()
    assert one.archive.read_bytes() == two.archive.read_bytes()
    assert (one.folder / "manifest.json").read_bytes() == (two.folder / "manifest.json").read_bytes()


def test_source_date_epoch_is_honoured(tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    packed = pack.write(tmp_path / "b", contents(tmp_path), manifest)
    with tarfile.open(packed.archive) as archive:
        assert {member.mtime for member in archive.getmembers()} == {1700000000}
    for wrong in ("", "yesterday", "-1", "1.5"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
        with pytest.raises(BundleError, match=f"SOURCE_DATE_EPOCH.*'{re.escape(wrong)}'"):
            pack.write(tmp_path / "b", contents(tmp_path), manifest)


def test_new_bundle_replaces_every_file_of_the_old_one(tmp_path: Path, manifest: Manifest) -> None:
    dist = tmp_path / "dist"
    pack.write(dist / "b", {**contents(tmp_path), "gone.txt": "x"}, manifest)
    other = snapshot(pack.write(dist / "other", contents(tmp_path), manifest).folder)
    packed = pack.write(dist / "b", contents(tmp_path, "new"), manifest)
    assert snapshot(packed.folder).keys() == {"manifest.json", "model.onnx", "run.py", "plan/plan.json"}
    assert (packed.folder / "model.onnx").read_text() == "new"
    assert snapshot(dist / "other") == other
    assert {path.name for path in dist.iterdir()} == {"b", "b.tar.gz", "other", "other.tar.gz"}


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", ".", "", "a//b", "./a"])
def test_paths_that_leave_the_bundle_are_refused(tmp_path: Path, manifest: Manifest, path: str) -> None:
    with pytest.raises(BundleError, match=rf"'{re.escape(path)}'$"):
        pack.write(tmp_path / "dist" / "b", {path: "x"}, manifest)
    assert not (tmp_path / "dist").exists()


def test_duplicate_names_are_refused(tmp_path: Path, manifest: Manifest) -> None:
    for measured in ({"a": "2"}, {"manifest.json": "2"}, {"measured.json": "2"}):
        with pytest.raises(BundleError, match=rf" {re.escape(next(iter(measured)))}$"):
            pack.write(tmp_path / "b", {"a": "1"}, manifest, measured=measured)


def test_a_source_that_is_missing_leaves_the_earlier_bundle(tmp_path: Path, manifest: Manifest) -> None:
    dist = tmp_path / "dist"
    pack.write(dist / "b", contents(tmp_path), manifest)
    before = snapshot(dist)
    with pytest.raises(FileNotFoundError):
        pack.write(dist / "b", {"a": "1", "model.onnx": tmp_path / "missing"}, manifest)
    assert snapshot(dist) == before


@pytest.mark.long
def test_bundle_is_complete_after_a_kill_at_any_moment(tmp_path: Path, manifest: Manifest) -> None:
    """A process that packs without end is killed; folder and archive are then each of one version, whole."""
    dist = tmp_path / "dist"
    (tmp_path / "manifest.json").write_text(manifest.to_json())
    code = (
        "import sys\nfrom pathlib import Path\nfrom edgeprune.bundle import pack\n"
        "from edgeprune.bundle.manifest import Manifest\nhere = Path(sys.argv[1])\n"
        "version = 0\nwhile True:\n"
        "    version += 1\n"
        "    files = {f'{n}.txt': str(version) * 1000 for n in range(5)}\n"
        "    pack.write(here / 'dist' / 'b', files, Manifest.load(here / 'manifest.json'))\n"
        "    print(version, flush=True)\n"
    )
    for wait_s in (0.0, 0.003, 0.007):
        with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert "3" in (line.strip() for line in child.stdout), "it ended by itself"
            time.sleep(wait_s)
            child.send_signal(signal.SIGKILL)
        texts = {(dist / "b" / f"{number}.txt").read_text() for number in range(5)}
        assert len(texts) == 1
        stored = Manifest.load(dist / "b")
        assert {path: entry.sha256 for path, entry in stored.files.items()}.items() <= snapshot(dist / "b").items()
        with tarfile.open(dist / "b.tar.gz") as archive:
            read = [archive.extractfile(member) for member in archive.getmembers()]
            assert len({file.read() for file in read if file is not None}) == 2  # one text and the manifest
    remaining = [path for path in dist.iterdir() if path.name.endswith(".tmp")]
    for path in remaining:
        os.utime(path, (0, 0))
    pack.write(dist / "b", {"a": "1"}, manifest)
    assert {path.name for path in dist.iterdir()} == {"b", "b.tar.gz"}


def test_files_of_a_running_build_are_not_deleted(tmp_path: Path, manifest: Manifest) -> None:
    with pack._temporary_folder(tmp_path / "b") as aside:
        os.utime(aside, (0, 0))
        pack.write(tmp_path / "b", {"a": "1"}, manifest)
        assert aside.is_dir()
    assert not aside.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no right to mount a small file system: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_full_disk_preserves_the_earlier_bundle(small_disk: Path, manifest: Manifest) -> None:
    dist = small_disk / "dist"
    pack.write(dist / "b", {"model.onnx": os.urandom(200_000)}, manifest)
    before = snapshot(dist)
    with pytest.raises(OSError, match="No space left"):
        pack.write(dist / "b", {"small": "x", "model.onnx": os.urandom(900_000)}, manifest)
    assert snapshot(dist) == before
    with pytest.raises(OSError, match="No space left"):  # the files fit, the archive does not
        pack.write(dist / "b", {"model.onnx": os.urandom(350_000)}, manifest)
    assert snapshot(dist) == before
    assert json.loads((dist / "b" / "manifest.json").read_text())["schema"] == 2
    pack.write(dist / "b", {"model.onnx": b"fits"}, manifest)
    assert (dist / "b" / "model.onnx").read_bytes() == b"fits"


def test_exchange_without_the_system_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeprune.bundle.atomic_swap._exchange_at_once", lambda *_: False)
    for name in ("new", "place"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    exchange(tmp_path / "new", tmp_path / "place")
    assert (tmp_path / "place" / "file").read_text() == "new"
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "missing", tmp_path / "place")
    assert (tmp_path / "place" / "file").read_text() == "new"
