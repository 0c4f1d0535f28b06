"""Commands refuse to overwrite files that are not an earlier output of theirs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from edgeprune.cli import run
from edgeprune.errors import InputError
from edgeprune.overwrite_guard import HTML, PNG, PROFILE, SVG, TFLITE, TRACE, XML, FileKind, check_output_file

_HEADS = {
    SVG: b'<svg xmlns="x"></svg>',
    PNG: b"\x89PNG\r\n\x1a\n....",
    HTML: b"<!doctype html><html></html>",
    XML: b"<?xml version='1.0'?><testsuites/>",
    PROFILE: b'{\n "schema": 2,\n "edgeprune": "0.1"}',
    TRACE: b'{"displayTimeUnit": "ms", "traceEvents": []}',
    TFLITE: b"\x1c\0\0\0TFL3....",
}


@pytest.mark.parametrize("kind", _HEADS, ids=lambda kind: kind.name)
def test_earlier_output_of_the_same_kind_is_accepted(kind: FileKind, tmp_path: Path) -> None:
    file = tmp_path / "file"
    check_output_file(file, kind)
    for content in (b"", _HEADS[kind]):
        file.write_bytes(content)
        check_output_file(file, kind)


@pytest.mark.parametrize("kind", _HEADS, ids=lambda kind: kind.name)
def test_file_of_another_kind_is_refused(kind: FileKind, tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    for content in (b"import torch\n", b"\0\0\0\0ONNX"):
        file.write_bytes(content)
        with pytest.raises(InputError, match=r"net\.py"):
            check_output_file(file, kind)
    with pytest.raises(InputError):
        check_output_file(tmp_path, kind)


def _relu(path: Path) -> Path:
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("link", [os.symlink, os.link, None], ids=["symlink", "hard link", "same path"])
def test_convert_refuses_to_overwrite_its_input(
    link: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = _relu(tmp_path / "m.onnx")
    before = source.read_bytes()
    output = source
    if callable(link):
        output = tmp_path / "out.tflite"
        link(source, output)
    assert run(["convert", str(source), str(output)]) == 3
    assert source.read_bytes() == before
    assert "m.onnx" in capsys.readouterr().err


def test_convert_replaces_only_tflite_files(tmp_path: Path) -> None:
    source = _relu(tmp_path / "m.onnx")
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    assert run(["convert", str(source), str(other)]) == 3
    assert other.read_text() == "mine"
    assert run(["convert", str(source), str(tmp_path / "m.tflite")]) == 0
    assert run(["convert", str(source), str(tmp_path / "m.tflite")]) == 0


def test_inspect_refuses_to_draw_over_other_files(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text("import torch\n")
    assert run(["inspect", "digits", "--svg", str(file)]) == 3
    assert file.read_text() == "import torch\n"
