"""Scripts for devices: the parts that runners share are written into them."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

import pytest

from edgeprune.backends import backend, names, self_contained
from tests.imports import imported

_RUNNERS = [name for name in names() if backend(name).runner is not None]
_BACKENDS = Path(self_contained.__file__).parent
_SHARED = _BACKENDS / "runner_parts"
_TENSORRT = _BACKENDS / "tensorrt" / "runner_parts"
_PARTS = {
    "onnxruntime": [_SHARED / "serving.py", _SHARED / "sessions.py"],
    "litert": [_SHARED / "serving.py", _SHARED / "sessions.py"],
    "tensorrt": [_SHARED / "serving.py", *(path for path in _TENSORRT.glob("*.py") if path.name != "__init__.py")],
}


def test_every_runner_is_tested_here() -> None:
    assert set(_RUNNERS) == set(_PARTS)


@pytest.mark.parametrize("name", _RUNNERS)
def test_parts_are_in_the_script(name: str) -> None:
    text = backend(name).runner.contents[0]
    for part in _PARTS[name]:
        code = part.read_text()
        for node in ast.parse(code).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                assert ast.get_source_segment(code, node) in text


@pytest.mark.parametrize("name", _RUNNERS)
def test_scripts_are_python_3_8_and_define_every_name_once(name: str) -> None:
    for content in backend(name).runner.contents:
        tree = ast.parse(content, feature_version=(3, 8))
        defined = Counter(node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)))
        assigned = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
        defined.update(target.id for target in assigned if isinstance(target, ast.Name))
        defined.update(alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names)
        assert set(defined.values()) == {1}


def test_script_and_parts_are_written_into_one_folder() -> None:
    runner = backend("tensorrt").runner
    assert {path.parent for path in runner.files} == {runner.files[0].parent}
    assert [path.read_text() for path in runner.files] == list(runner.contents)
    assert runner.files is backend("tensorrt").runner.files
    engine_builder, *_ = (path for path in runner.files if path.name == "build_engine.py")
    assert imported(runner.files[0]) | imported(engine_builder) <= sys.stdlib_module_names


def test_script_without_parts_is_unchanged(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text("import sys\n\nprint(sys.argv)\n")
    assert self_contained.self_contained(script) == script.read_text()


def test_imports_are_merged_and_parts_follow_them(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(
        '"""Title."""\n\nfrom __future__ import annotations\n\nimport zlib\nfrom typing import NamedTuple\n\n'
        "from edgeprune.backends.runner_parts.serving import serve\n\n"
        "try:\n    import numpy as np\nexcept ImportError:\n    raise SystemExit(1) from None\n\n"
        "SIZE = zlib.crc32(b'')\n"
    )
    lines = self_contained.self_contained(script).splitlines()
    assert lines[:5] == ['"""Title."""', "", "from __future__ import annotations", "", "import json"]
    assert lines.index("import zlib") < lines.index("try:") < lines.index("# edgeprune.backends.runner_parts.serving")
    assert "from collections.abc import Callable" in lines
    assert "from typing import Any, NamedTuple" in lines
    assert lines[-1] == "SIZE = zlib.crc32(b'')"
    compile("\n".join(lines), "run.py", "exec")
