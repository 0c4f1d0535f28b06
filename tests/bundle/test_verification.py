"""Verifying bundles: whatever was done to one is an error that names the member; nothing is extracted or run."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.bundle import archive, bundle_paths, pack
from edgeprune.bundle.manifest import FileEntry, Manifest
from edgeprune.bundle.pack import PackedBundle
from edgeprune.bundle.verification import sign, verify
from edgeprune.cli import run
from edgeprune.errors import BundleError
from tests.bundle.conftest import example
from tests.example_count import example_count

_ROOT = "digits-host"
_LONG = f"long/{'x' * 120}.txt"


@pytest.fixture
def packed(tmp_path: Path, manifest: Manifest) -> PackedBundle:
    contents: dict[str, pack.Content] = {
        "model.onnx": b"weights" * 1000, "plan/plan.json": "{}", "run.py": "print(1)\n", "empty": b"",
        "plan/\u00e9.json": "1", _LONG: "2",
    }  # fmt: skip
    measured = {"profile.json": "{}", "report.html": "<p>"}
    return pack.write(tmp_path / "dist" / _ROOT, contents, manifest, measured=measured)


def test_fresh_bundle_verifies(packed: PackedBundle) -> None:
    folder, archived = verify(packed.folder), verify(packed.archive)
    assert folder.manifest == archived.manifest == packed.manifest
    assert folder.manifest_sha256 == archived.manifest_sha256
    assert (folder.kind, archived.kind) == ("folder", "archive")
    assert archived.files == len(packed.manifest.files) + 1
    assert folder.files == archived.files + 3
    assert folder.measured == ("profile.json", "report.html")
    assert folder.signer is archived.signer is None
    assert archived.bytes == sum(path.stat().st_size for path in _files(packed)) - _measured_bytes(packed)


def _files(packed: PackedBundle) -> list[Path]:
    return [path for path in packed.folder.rglob("*") if path.is_file()]


def _measured_bytes(packed: PackedBundle) -> int:
    return sum((packed.folder / name).stat().st_size for name in ("profile.json", "report.html", "measured.json"))


def test_tar_extracts_the_verified_bytes(packed: PackedBundle, tmp_path: Path) -> None:
    subprocess.run(["tar", "xzf", packed.archive, "-C", tmp_path], check=True)
    extracted = verify(tmp_path / _ROOT)
    assert extracted.manifest == packed.manifest
    assert extracted.measured == ()


# --- folders ---------------------------------------------------------------------------------------------------------


def _change(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"Weights" * 1000)


def _lengthen(folder: Path) -> None:
    with open(folder / "empty", "ab") as file:
        file.write(b"x")


def _remove(folder: Path) -> None:
    (folder / "plan" / "plan.json").unlink()


def _add(folder: Path) -> None:
    (folder / "plan" / "extra.sh").write_text("exit")


def _add_folder(folder: Path) -> None:
    (folder / "more").mkdir()


def _link(folder: Path) -> None:
    moved = folder.parent / "elsewhere"
    (folder / "run.py").rename(moved)
    (folder / "run.py").symlink_to(moved)


def _link_folder(folder: Path) -> None:
    moved = folder.parent / "elsewhere"
    (folder / "plan").rename(moved)
    (folder / "plan").symlink_to(moved)


def _pipe(folder: Path) -> None:
    (folder / "run.py").unlink()
    os.mkfifo(folder / "run.py")


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(folder / "s"))


def _replace_by_folder(folder: Path) -> None:
    (folder / "run.py").unlink()
    (folder / "run.py").mkdir()
    (folder / "run.py" / "inner").write_text("x")


def _change_measured(folder: Path) -> None:
    (folder / "profile.json").write_text('{"faster": true}')


def _change_manifest(folder: Path) -> None:
    output = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(output.replace('"macs": 499', '"macs": 400'))


def _link_manifest(folder: Path) -> None:
    (folder / "manifest.json").rename(folder.parent / "m")
    (folder / "manifest.json").symlink_to(folder.parent / "m")


def _pipe_as_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")


def _no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (_change, ("model.onnx",)),
        (_lengthen, ("empty",)),
        (_remove, ("plan/plan.json",)),
        (_add, ("plan/extra.sh",)),
        (_add_folder, ("more is", "folder")),
        (_link, ("run.py", "link")),
        (_link_folder, ("plan is", "link")),
        (_pipe, ("run.py", "pipe")),
        (_socket, (": s is", "socket")),
        (_replace_by_folder, ("run.py/inner",)),
        (_change_measured, ("profile.json",)),
        (_change_manifest, ("measured.json", "manifest.json", "SHA-256")),
        (_link_manifest, ("manifest.json", os.strerror(errno.ELOOP))),
        (_pipe_as_manifest, ("manifest.json", "pipe")),
        (_no_manifest, ("manifest.json", os.strerror(errno.ENOENT))),
    ],
)
def test_every_change_of_a_folder_is_reported(
    packed: PackedBundle, damage: Callable[[Path], None], text: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(packed.folder)
    assert run(["verify", str(packed.folder)]) == 3
    message = capsys.readouterr().err
    assert all(part in message for part in text), message


def test_all_problems_are_in_one_error(packed: PackedBundle) -> None:
    for damage in (_change, _remove, _add):
        damage(packed.folder)
    with pytest.raises(BundleError, match=r"extra.sh.*plan/plan.json.*model.onnx"):
        verify(packed.folder)


def test_names_that_a_terminal_would_obey_are_escaped(packed: PackedBundle, capsys: pytest.CaptureFixture[str]) -> None:
    (packed.folder / "\x1b[2Jextra").write_text("x")
    assert run(["verify", str(packed.folder)]) == 3
    assert "'\\x1b[2Jextra'" in capsys.readouterr().err
    members = _members(packed)
    members[-1][0].name = "\x1b[2Jx"
    _rewrite(packed, members)
    assert run(["verify", str(packed.archive)]) == 3
    assert "\x1b" not in capsys.readouterr().err


def test_missing_bundle_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"none.*{os.strerror(errno.ENOENT)}"):
        verify(tmp_path / "none")


# --- manifests -------------------------------------------------------------------------------------------------------


def _entry(content: bytes = b"") -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "./a",
        "a//b",
        "",
        ".",
        "a\\b",
        "a\nb",
        "manifest.json",
        "\u202egnp.exe",
        "x" * 2000,
    ],
)
def test_paths_in_a_manifest_that_leave_the_bundle(packed: PackedBundle, path: str) -> None:
    values = json.loads((packed.folder / "manifest.json").read_text())
    values["files"][path] = _entry()
    (packed.folder / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(BundleError, match=re.escape(bundle_paths.printable(path)) + "'*$"):
        verify(packed.folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 3}', r"schema 3\b.* 2\b"),
        ('{"schema": 1, "schema": 1}', "'schema'"),
        ('{"a":' * 100_000, r"64|manifest\.json.*JSON"),
        ("[" * 100_000, " 64 "),
        ('{"schema": ' + "9" * 5000 + "}", "JSON.* 64 "),
        ('{"schema": NaN}', "JSON.*NaN"),
        ("\ufeff{}", "JSON.*EF BB BF"),
        ('{"schema": 1, "recipe": "\\ud800"}', r"JSON.*\\ud800"),
        (" " * (17 << 20), "17,825,792"),
    ],
)
def test_invalid_manifests_are_refused(packed: PackedBundle, text: str, message: str) -> None:
    (packed.folder / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=message):
        verify(packed.folder)


def test_path_that_is_both_file_and_folder_is_refused(packed: PackedBundle) -> None:
    values = json.loads((packed.folder / "manifest.json").read_text())
    values["files"]["run.py/inner"] = _entry()
    (packed.folder / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(BundleError, match=r"^run\.py "):
        verify(packed.folder)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.long
@example_count(150)
@given(st.data())
def test_any_value_at_any_place_of_a_manifest_is_an_error_or_a_manifest(data: st.DataObject) -> None:
    values = json.loads(_manifest_text())
    place, owner = values, values
    key: Any = data.draw(st.sampled_from(sorted(place)))
    while isinstance(place[key], dict) and place[key] and data.draw(st.booleans()):
        owner = place = place[key]
        key = data.draw(st.sampled_from(sorted(place)))
    owner[key] = data.draw(_VALUES)
    _parses_or_refuses(json.dumps(values).encode())


@example_count(150)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 10**6))
def test_any_bytes_in_a_manifest_are_an_error_or_a_manifest(changes: list[tuple[int, int]], cut: int) -> None:
    content = bytearray(_manifest_text())
    for place, value in changes:
        content[place % len(content)] = value
    _parses_or_refuses(bytes(content))
    _parses_or_refuses(bytes(content[: cut % len(content)]))


def _parses_or_refuses(content: bytes) -> None:
    try:
        parsed = Manifest.parse(content, where="m")
    except BundleError:
        return
    assert Manifest.parse(parsed.to_json().encode(), where="m") == parsed


def _manifest_text() -> bytes:
    return example().model_copy(update={"files": {"a": FileEntry(**_entry())}}).to_json().encode()


# --- archives --------------------------------------------------------------------------------------------------------


def _epoch(content: bytes) -> int:
    """The time of the first member of an archive; 0 where there is none."""
    try:
        return int(content[136:147], 8) & 0xFFFFFFFF
    except ValueError:
        return 0


def _compress(content: bytes) -> bytes:
    """As EdgePrune does."""
    written = io.BytesIO()
    with gzip.GzipFile("", "wb", 6, written, mtime=_epoch(content)) as file:
        file.write(content)
    return written.getvalue()


def _members(packed: PackedBundle) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(packed.archive) as opened:
        results = []
        for member in opened.getmembers():
            file = opened.extractfile(member)
            assert file is not None
            results.append((member, file.read()))
        return results


def _rewrite(packed: PackedBundle, members: list[tuple[tarfile.TarInfo, bytes]], behind: bytes = b"") -> None:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as opened:
        for member, content in members:
            fresh = tarfile.TarInfo(member.name)
            fresh.mode, fresh.mtime, fresh.type, fresh.linkname = (
                member.mode,
                member.mtime,
                member.type,
                member.linkname,
            )
            fresh.uid, fresh.devmajor, fresh.devminor = member.uid, member.devmajor, member.devminor
            fresh.size = len(content) if member.isreg() else 0
            opened.addfile(fresh, io.BytesIO(content))
    packed.archive.write_bytes(_compress(written.getvalue() + behind))


def test_archive_of_another_tool_verifies(packed: PackedBundle) -> None:
    _rewrite(packed, _members(packed))
    assert verify(packed.archive).manifest == packed.manifest


def _renamed(name: str) -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[-1][0].name = name

    return change


def _typed(kind: bytes, link: str = "") -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]:
    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        members[-1][0].type, members[-1][0].linkname = kind, link

    return change


def _again(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members.append(members[1])


def _another(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members.append((tarfile.TarInfo(f"{_ROOT}/zzz"), b"x"))


def _without_last(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members.pop()


def _swapped(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members[1], members[2] = members[2], members[1]


def _exchanged(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members[-1], members[1] = members[1], members[-1]


def _manifest_last(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members.append(members.pop(0))


def _other_content(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    info, content = members[-1]
    members[-1] = (info, content.swapcase())


def _larger(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    info, content = members[-1]
    members[-1] = (info, content + b"x")


def _owned(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members[-1][0].uid = 1000


def _of_two_roots(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members[-1][0].name = "other/run.py"


def _nothing(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members.clear()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_renamed(f"{_ROOT}/../../x"), (f"'{_ROOT}/../../x'",)),
        (_renamed("/etc/cron.d/x"), ("'/etc/cron.d/x'",)),
        (_renamed("../x"), ("'../x'",)),
        (_typed(tarfile.SYMTYPE, "/etc/passwd"), (f"'{_ROOT}/run.py'", "link")),
        (_typed(tarfile.LNKTYPE, f"{_ROOT}/empty"), (f"'{_ROOT}/run.py'", "link")),
        (_typed(tarfile.CHRTYPE), (f"'{_ROOT}/run.py'", "device")),
        (_typed(tarfile.BLKTYPE), (f"'{_ROOT}/run.py'", "device")),
        (_typed(tarfile.FIFOTYPE), (f"'{_ROOT}/run.py'", "pipe")),
        (_typed(tarfile.DIRTYPE), (f"'{_ROOT}/run.py'", "folder")),
        (_again, (f"'{_ROOT}/empty'",)),
        (_another, (f"'{_ROOT}/zzz'",)),
        (_without_last, (f"{_ROOT}.tar.gz ends",)),
        (_swapped, (f"'{_ROOT}/empty'",)),
        (_exchanged, (f"'{_ROOT}/empty'", f"'{_ROOT}/run.py'")),
        (_manifest_last, ("expected manifest.json",)),
        (_other_content, ("run.py", "SHA-256")),
        (_larger, ("size", f"'{_ROOT}/")),
        (_owned, ("owner", f"'{_ROOT}/run.py'")),
        (_of_two_roots, ("'other/run.py'",)),
        (_nothing, (f"{_ROOT}.tar.gz ends",)),
    ],
)
def test_every_change_of_an_archive_is_reported(
    packed: PackedBundle,
    tmp_path: Path,
    change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None],
    text: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    members = _members(packed)
    change(members)
    _rewrite(packed, members)
    before = sorted(tmp_path.rglob("*"))
    assert run(["verify", str(packed.archive)]) == 3
    message = capsys.readouterr().err
    assert all(part in message for part in text), message
    assert sorted(tmp_path.rglob("*")) == before


def test_data_after_the_end_of_the_archive_is_refused(packed: PackedBundle) -> None:
    _rewrite(packed, _members(packed), behind=b"\0" * 512 + b"more")
    with pytest.raises(BundleError, match=rf"{_ROOT}\.tar\.gz.*\bend\b"):
        verify(packed.archive)


@pytest.mark.parametrize(
    "behind", [b"\0", b"\0" * 512, b"more", gzip.compress(b"", mtime=0), gzip.compress(b"more", mtime=0)]
)
def test_bytes_after_the_gzip_stream_are_refused(packed: PackedBundle, behind: bytes) -> None:
    packed.archive.write_bytes(packed.archive.read_bytes() + behind)
    with pytest.raises(BundleError, match=rf"{_ROOT}\.tar\.gz.*gzip stream"):
        verify(packed.archive)


@pytest.mark.parametrize(
    ("place", "value"),
    [(3, 1), (3, 2), (3, 16), (3, 0xE0), (4, 7), (7, 0x80), (8, 2), (8, 4), (9, 3), (-1, 1), (-5, 1), (-8, 1)],
    ids=str,
)
def test_another_gzip_header_or_trailer_is_refused(packed: PackedBundle, place: int, value: int) -> None:
    content = bytearray(packed.archive.read_bytes())
    content[place] ^= value
    packed.archive.write_bytes(content)
    with pytest.raises(BundleError):
        verify(packed.archive)


def test_a_gzip_file_name_is_refused(packed: PackedBundle) -> None:
    content = packed.archive.read_bytes()
    packed.archive.write_bytes(content[:3] + b"\x08" + content[4:10] + b"\x1b]0;owned\x07\0" + content[10:])
    with pytest.raises(BundleError, match="file name"):
        verify(packed.archive)


def test_a_gzip_stream_of_several_members_is_refused(packed: PackedBundle) -> None:
    whole = gzip.decompress(packed.archive.read_bytes())
    packed.archive.write_bytes(_compress(whole[:1024])[:-8] + _compress(whole[:1024])[-8:] + _compress(whole[1024:]))
    with pytest.raises(BundleError):
        verify(packed.archive)


def test_data_in_the_padding_is_refused(packed: PackedBundle) -> None:
    written = bytearray(gzip.decompress(packed.archive.read_bytes()))
    end = written.index(b"print(1)\n") + len(b"print(1)\n")
    written[end + 3] = 7
    packed.archive.write_bytes(_compress(bytes(written)))
    with pytest.raises(BundleError, match=r"run\.py"):
        verify(packed.archive)


def _bomb(path: Path, head: bytes) -> None:
    """``head``, then 10 GB of zeros, in some 10 MB; compressed once and repeated in one stream."""
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    first = deflate.compress(head) + deflate.flush(zlib.Z_FULL_FLUSH)
    zeros = deflate.compress(bytes(64 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    header = b"\x1f\x8b\x08\0" + _epoch(head).to_bytes(4, "little") + b"\0\xff"
    path.write_bytes(header + first + zeros * 160 + deflate.flush() + bytes(8))


@pytest.mark.parametrize("where", ["instead", "behind", "as a member", "as the manifest"])
def test_10_gb_of_zeros_are_not_unpacked(packed: PackedBundle, where: str) -> None:
    """In a process that may have 1 GiB of addresses and 20 s of the processor: reading them all would take both."""
    written = gzip.decompress(packed.archive.read_bytes())
    info = tarfile.TarInfo(f"{_ROOT}/run.py")
    info.size = 10 << 30
    manifest = tarfile.TarInfo(f"{_ROOT}/manifest.json")
    manifest.size = 10 << 30
    heads = {
        "instead": b"",
        "behind": written,
        "as a member": written[: written.index(f"{_ROOT}/run.py".encode())] + info.tobuf(tarfile.GNU_FORMAT),
        "as the manifest": manifest.tobuf(tarfile.GNU_FORMAT),
    }
    _bomb(packed.archive, heads[where])
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (20, 20))\n"
        "from edgeprune.cli import run\nsys.exit(run(['verify', sys.argv[1]]))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(packed.archive)], capture_output=True, text=True, check=False, timeout=600
    )
    assert ended.returncode == 3, ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of a small bundle."""
    return pack.write(tmp_path_factory.mktemp("small") / "b", {"a": "1", "b": "2" * 600}, example()).archive


@pytest.mark.long
@example_count(200)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_any_bytes_in_an_archive_are_an_error(small: Path, changes: list[tuple[int, int]], compressed: bool) -> None:
    """Or another manifest, which nothing but its signature is about; or what gzip says of the time and the system."""
    _, text = archive.read(small)
    whole = small.read_bytes() if compressed else gzip.decompress(small.read_bytes())
    content = bytearray(whole)
    for place, value in changes:
        content[place % len(content)] = value
    path = small.with_name("fuzzed.tar.gz")
    path.write_bytes(bytes(content) if compressed else _compress(bytes(content)))
    try:
        _, result = archive.read(path)
    except BundleError as problem:
        message = str(problem)
        assert "fuzzed.tar.gz" in message
        assert content != whole
        return
    assert result != text or compressed or content == whole


@pytest.mark.parametrize("step", [1, 3])
def test_every_byte_behind_the_manifest_is_accounted_for(small: Path, step: int) -> None:
    whole = gzip.decompress(small.read_bytes())
    path = small.with_name("changed.tar.gz")
    _, text = archive.read(small)
    start = 512 + len(text)
    for place in (*range(0, 512, 5), *range(start, len(whole), 53)):
        changed = bytearray(whole)
        changed[place] ^= step
        path.write_bytes(_compress(bytes(changed)))
        with pytest.raises(BundleError, match=r"changed\.tar\.gz"):
            archive.read(path)


@pytest.mark.parametrize("keep", [0, 1, 10, 17, 300, 0.5, 0.9, -9, -1])
def test_truncated_archive_is_refused(packed: PackedBundle, keep: float) -> None:
    content = packed.archive.read_bytes()
    packed.archive.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(BundleError, match=r"digits-host\.tar\.gz"):
        verify(packed.archive)


# --- signatures ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys 'ours' and 'theirs', and a file of allowed signers for each."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        (folder / f"{name}.allowed").write_text(f"{name}@example.org {(folder / f'{name}.pub').read_text()}")
    return folder


def test_verification_returns_the_signer(packed: PackedBundle, keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unsigned = packed.archive.read_bytes()
    assert run(["sign", str(packed.folder), "--key", str(keys / "ours"), "--json"]) == 0
    signed = json.loads(capsys.readouterr().out)["signatures"]
    assert [Path(path).name for path in signed] == ["manifest.json.sig", "measured.json.sig", f"{_ROOT}.tar.gz.sig"]
    assert packed.archive.read_bytes() == unsigned
    for path in (packed.folder, packed.archive):
        assert run(["verify", str(path), "--allowed-signers", str(keys / "ours.allowed"), "--json"]) == 0
        values = json.loads(capsys.readouterr().out)
        assert values["signer"]["principal"] == "ours@example.org"
        assert values["signer"]["key"].startswith("ED25519 SHA256:")
        assert run(["verify", str(path)]) == 0
        assert "give --allowed-signers to check the signer" in capsys.readouterr().out


def test_ssh_keygen_alone_verifies_the_signature(packed: PackedBundle, keys: Path) -> None:
    sign(packed.archive, keys / "ours")
    text = subprocess.run(
        ["tar", "xzOf", packed.archive, f"{_ROOT}/manifest.json"], capture_output=True, check=True
    ).stdout
    argv = ["ssh-keygen", "-Y", "verify", "-f", keys / "ours.allowed", "-I", "ours@example.org"]
    argv += ["-n", "edgeprune-manifest", "-s", f"{packed.archive}.sig"]
    assert subprocess.run(argv, input=text, capture_output=True, check=False).returncode == 0


def test_an_unknown_signer_is_refused(packed: PackedBundle, keys: Path) -> None:
    sign(packed.folder, keys / "theirs")
    for path in (packed.folder, packed.archive):
        with pytest.raises(BundleError, match=r"\.sig.*ED25519 .*ours\.allowed"):
            verify(path, keys / "ours.allowed")
        assert verify(path, keys / "theirs.allowed").signer is not None


def test_a_signer_may_be_allowed_for_something_else(packed: PackedBundle, keys: Path, tmp_path: Path) -> None:
    sign(packed.folder, keys / "ours")
    public, allowed = (keys / "ours.pub").read_text(), tmp_path / "allowed"
    allowed.write_text(f'ship@example.org namespaces="edgeprune-manifest,edgeprune-measured" {public}')
    result = verify(packed.folder, allowed).signer
    assert result is not None
    assert result.principal == "ship@example.org"
    for refused in ('namespaces="git"', 'valid-before="20200101"'):
        allowed.write_text(f"ship@example.org {refused} {public}")
        with pytest.raises(BundleError, match=rf"ED25519 .*{allowed}"):
            verify(packed.folder, allowed)


def test_unsigned_bundle_is_refused_if_signers_are_required(packed: PackedBundle, keys: Path) -> None:
    for path in (packed.folder, packed.archive):
        with pytest.raises(BundleError, match=r"manifest\.json.*\.sig .*'edgeprune sign'"):
            verify(path, keys / "ours.allowed")
    sign(packed.folder, keys / "ours")
    with pytest.raises(BundleError, match=str(keys / "none")):
        verify(packed.folder, keys / "none")
    (packed.folder / "measured.json.sig").unlink()
    with pytest.raises(BundleError, match=r"measured\.json\.sig .*'edgeprune sign'"):
        verify(packed.folder, keys / "ours.allowed")


def test_a_signature_over_another_file_is_refused(packed: PackedBundle, keys: Path, manifest: Manifest) -> None:
    other = pack.write(packed.folder.with_name("other"), {"a": "1"}, manifest)
    sign(packed.folder, keys / "ours")
    sign(other.folder, keys / "ours")
    (other.folder / "manifest.json.sig").replace(packed.folder / "manifest.json.sig")
    other.archive.with_name(f"{other.archive.name}.sig").replace(packed.archive.with_name(f"{packed.archive.name}.sig"))
    for path in (packed.folder, packed.archive):
        for allowed in (None, keys / "ours.allowed"):
            with pytest.raises(BundleError, match=r"\.sig .*manifest\.json"):
                verify(path, allowed)


def test_signature_of_measurements_does_not_sign_a_manifest(packed: PackedBundle, keys: Path) -> None:
    from edgeprune.bundle import signature

    result = signature.sign((packed.folder / "manifest.json").read_bytes(), "measured.json", keys / "ours")
    (packed.folder / "manifest.json.sig").write_bytes(result)
    with pytest.raises(BundleError, match=r"manifest\.json\.sig .*manifest\.json:"):
        verify(packed.folder)


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n", b"x" * 70_000]
)
def test_invalid_signatures_are_refused(packed: PackedBundle, content: bytes) -> None:
    (packed.folder / "manifest.json.sig").write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json\.sig"):
        verify(packed.folder)


def test_damaged_bundle_is_not_signed(packed: PackedBundle, keys: Path) -> None:
    _change(packed.folder)
    with pytest.raises(BundleError, match=r"model\.onnx"):
        sign(packed.folder, keys / "ours")
    assert not list(packed.folder.parent.rglob("*.sig"))


def test_invalid_keys_are_refused(packed: PackedBundle, keys: Path, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    (tmp_path / "key").chmod(0o600)
    for key in (tmp_path / "key", tmp_path / "none", keys / "ours.allowed"):
        with pytest.raises(BundleError, match=str(key)):
            sign(packed.folder, key)


def test_a_new_bundle_has_no_signature_of_the_old_one(packed: PackedBundle, keys: Path, manifest: Manifest) -> None:
    sign(packed.folder, keys / "ours")
    again = pack.write(packed.folder, {"a": "1"}, manifest)
    assert verify(again.folder).signer is verify(again.archive).signer is None


def test_signing_again_replaces_the_signature(packed: PackedBundle, keys: Path) -> None:
    sign(packed.folder, keys / "theirs")
    sign(packed.folder, keys / "ours")
    assert verify(packed.archive, keys / "ours.allowed").signer == verify(packed.folder, keys / "ours.allowed").signer


def test_verifying_imports_neither_torch_nor_a_runtime(packed: PackedBundle) -> None:
    code = (
        "import sys\nfrom edgeprune.cli import run\nassert run(['verify', sys.argv[1]]) == 0\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'numpy', 'scipy'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code, str(packed.archive)], check=True)
