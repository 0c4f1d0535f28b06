"""No name in a model file becomes code: names only appear in comments, where nothing can end the comment."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edgeprune.backends.c.code_files import generate
from edgeprune.tflite.tflite_schema import schema
from tests.backends.c.host_program import assert_equals_interpreter, needs_gcc
from tests.tflite.tflite_files import File

_NAMES = [
    "*/ int injected = 1; /*", "x\nint injected = 1;", "x\\\nint injected;", 'x"; int injected; "',
    "*??/\n/ int injected;",
    "??/", "???/ int injected;", "*????/\n/ int injected;",
    "\r\nint injected;", "\0int injected;", "/*", "//", "*" + "/" * 3, "é\u2028int injected;", "\\", "%s%n", "",
    "int", "0", "__injected", "#define injected", "*\\\n/ int injected;",
]  # fmt: skip


def _file(name: str, path: Path) -> Path:
    file = File()
    x = file.tensor(f"in {name}", (1, 4))
    weights = file.tensor(f"weights {name}", (3, 4), data=np.ones((3, 4), np.int8))
    y, z = file.tensor(name, (1, 3)), file.tensor(f"{name} out", (1, 3), scale=1 / 256, zero_point=-128)
    file.op("FULLY_CONNECTED", (x, weights, -1), (y,), schema.FullyConnectedOptionsT())
    file.op("SOFTMAX", (y,), (z,), schema.SoftmaxOptionsT(beta=1.0))
    path.write_bytes(file.content([x], [z]))
    return path


def _code_only(text: str) -> str:
    """Return C code without comments, as a compiler reads it: first trigraphs, then joined lines, then comments."""
    text = text.replace("??/", "\\").replace("\\\n", "")
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)


@pytest.mark.parametrize("name", _NAMES, ids=range(len(_NAMES)))
def test_tensor_names_are_not_code(name: str, tmp_path: Path) -> None:
    plain = generate(_file("plain", tmp_path / "plain.tflite")).files
    hostile = generate(_file(name, tmp_path / "hostile.tflite")).files
    assert {file: _code_only(text) for file, text in hostile.items()} == {
        file: _code_only(text) for file, text in plain.items()
    }
    assert all(text.isascii() and "??" not in text for text in hostile.values())


@needs_gcc
def test_code_with_hostile_names_compiles_and_runs(tmp_path: Path) -> None:
    for number, name in enumerate(_NAMES):
        assert_equals_interpreter(_file(name, tmp_path / f"{number}.tflite"), tmp_path / f"c{number}", samples=1)


@pytest.mark.parametrize("name", [*_NAMES, "a b", "9lives"])
def test_network_names_become_identifiers(name: str, tmp_path: Path) -> None:
    header = generate(_file("x", tmp_path / "m.tflite"), name).files["model.h"]
    assert re.search(r"^void [a-z][a-z0-9_]*_run\(const int8_t \*in, int8_t \*out\);$", header, re.MULTILINE)
    assert "injected;" not in header
