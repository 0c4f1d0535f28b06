"""The readers of JSON, TOML and input files: whatever is wrong is one error of the room that reads."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeprune import input_files, safe_json
from edgeprune.backends.tensorrt import trtexec_report
from edgeprune.bundle.bundle_reader import read as read_bundle
from edgeprune.bundle.manifest import Manifest
from edgeprune.bundle.measurements import Measurements
from edgeprune.bundle.report_data import ReportData
from edgeprune.config import Recipe, Target
from edgeprune.config.settings_base import read_toml, toml_value
from edgeprune.cost.latency_table import LatencyTable
from edgeprune.errors import EdgePruneError, InputError
from edgeprune.pipeline.lock_file import Lock
from edgeprune.profile import Profile
from edgeprune.safe_text import printable
from edgeprune.selection.plan import Plan
from edgeprune.tflite import tflite_loading

_Reader = Callable[[Path], Any]

_JSON_READERS: dict[str, _Reader] = {
    "plan": Plan.load,
    "lock": lambda path: Lock(path, "digits"),
    "latency-table": LatencyTable.load,
    "profile": Profile.load,
    "trtexec": lambda path: trtexec_report.read_profile(path.read_text(encoding="utf-8", errors="replace")),
    "manifest": Manifest.load,
    "bundle-part": read_bundle,
    "measured": lambda path: Measurements.load(_as(path, "measured.json")),
    "facts": lambda path: ReportData.load(_as(path, "report.json")),
}
_TOML_READERS: dict[str, _Reader] = {
    "toml": lambda path: read_toml(path, InputError),
    "recipe": Recipe.load,
    "target": Target.load,
}
_BAD_TEXT = {
    "empty": b"",
    "utf-8": b'{"a": "\xff"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "utf-16": "{}".encode("utf-16"),
    "null": b"{}\0",
}
_BAD_JSON = {
    **_BAD_TEXT,
    "depth": b"[" * 100_000,
    "closed depth": b'{"a":' * 200 + b"1" + b"}" * 200,
    "long integer": b'{"schema": 1, "a": ' + b"9" * 5000 + b"}",
    "large integer": b'{"schema": 1, "a": 1' + b"0" * 400 + b"}",
    "large float": b'{"schema": 1, "a": 1e999}',
    "nan": b'{"schema": 1, "a": NaN}',
    "twice": b'{"schema": 1, "schema": 2}',
    "half a pair": b'{"schema": 1, "a": "\\ud800"}',
    "list": b"[]",
    "null value": b"null",
}
_BAD_TOML = {
    "utf-8": b'x = "\xff"',
    "byte order mark": b"\xef\xbb\xbfx = 1",
    "utf-16": "x = 1".encode("utf-16"),
    "null": b"x = 1\0",
    "depth": b"x = " + b"[" * 100_000,
    "closed depth": b"x = " + b"[" * 200 + b"]" * 200,
    "dotted depth": b"a." * 500 + b"a = 1",
    "long integer": b"x = " + b"9" * 5000,
    "large integer": b"x = 1" + b"0" * 400,
    "large": b"#" * (2 << 20),
}


def _as(path: Path, name: str) -> Path:
    os.link(path, path.with_name(name))
    return path.parent


@pytest.mark.parametrize("bad", _BAD_JSON)
@pytest.mark.parametrize("reader", _JSON_READERS)
def test_every_json_reader_refuses_broken_json(reader: str, bad: str, tmp_path: Path) -> None:
    if reader == "trtexec" and bad in ("twice", "utf-8", "list"):
        return  # tools of others may repeat a key and print an empty list; their output is decoded before
    path = tmp_path / "input"
    path.write_bytes(_BAD_JSON[bad])
    with pytest.raises(EdgePruneError) as caught:
        _JSON_READERS[reader](path)
    assert caught.value.exit_code in (3, 5)


@pytest.mark.parametrize("bad", _BAD_TOML)
@pytest.mark.parametrize("reader", _TOML_READERS)
def test_every_toml_reader_refuses_broken_toml(reader: str, bad: str, tmp_path: Path) -> None:
    path = tmp_path / "input.toml"
    path.write_bytes(_BAD_TOML[bad])
    with pytest.raises(InputError):
        _TOML_READERS[reader](path)


@pytest.mark.parametrize("text", ["[" * 5000, "9" * 5000, "1" + "0" * 400, "[" * 100 + "]" * 100])
def test_a_toml_value_beyond_the_limits_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        toml_value(text)


def test_a_toml_value_cannot_add_keys() -> None:
    assert toml_value("1\nother = 2") == "1\nother = 2"


def test_json_within_the_limits_is_read() -> None:
    assert safe_json.loads(b'{"a": [1, null, 18446744073709551615, -1.5e300]}') == {"a": [1, None, 2**64 - 1, -1.5e300]}
    deep = "[" * safe_json.MAX_DEPTH + "]" * safe_json.MAX_DEPTH
    assert safe_json.loads(deep)
    with pytest.raises(ValueError, match="64"):
        safe_json.loads(f"[{deep}]")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder", "endless", "null character", "long name"])
@pytest.mark.parametrize(
    "reader",
    [
        read_bundle, Manifest.load, Profile.load, LatencyTable.load, Plan.load, Recipe.load, tflite_loading.load_file,
        lambda path: Lock(path, "digits"), lambda path: read_toml(path, InputError),
    ],
    ids=["bundle", "manifest", "profile", "table", "plan", "recipe", "tflite", "lock", "toml"],
)  # fmt: skip
def test_only_regular_files_are_read(reader: _Reader, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "input.tar.gz"
    with socket.socket(socket.AF_UNIX) as server:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            server.bind(str(path))
        elif kind == "folder":
            path.mkdir()
        elif kind == "null character":
            path = tmp_path / "a\0b"
        elif kind == "long name":
            path = tmp_path / ("a" * 300)
        else:
            path = Path("/dev/null" if kind == "device" else "/dev/zero")
        with pytest.raises((InputError, OSError)) as caught:
            reader(path)
    assert isinstance(caught.value, InputError) or kind == "long name"


def test_a_file_larger_than_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(input_files.InputFileError, match=f"{1 << 40:,}.*{input_files.MAX_MODEL_BYTES:,}"):
        input_files.read_bytes(path, max_bytes=input_files.MAX_MODEL_BYTES)


def test_printable_escapes_control_characters() -> None:
    assert printable("a\x1b]0;title\x07\r\x9b\u202eb\tc\nd é 漢") == r"a\x1b]0;title\x07\r\x9b\u202eb" + "\tc\nd é 漢"
