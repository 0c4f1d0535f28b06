"""The static import closure holds what user code imports, and nothing else that lies beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeprune.pipeline.fingerprint import Hashes
from edgeprune.pipeline.import_closure import ImportClosure


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _names(spec: str, folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in ImportClosure(spec, folder).files}


@pytest.mark.parametrize(
    ("statement", "reached"),
    [
        ("import layers", {"layers.py"}),
        ("from layers import conv", {"layers.py"}),
        ("def make():\n    import layers", {"layers.py"}),
        ("import pkg", {"pkg/__init__.py"}),
        ("import pkg.deep", {"pkg/__init__.py", "pkg/deep.py", "pkg/near.py", "layers.py"}),
        ("from pkg import deep", {"pkg/__init__.py", "pkg/deep.py", "pkg/near.py", "layers.py"}),
        ("from pkg import *", {"pkg/__init__.py", "pkg/deep.py", "pkg/near.py", "pkg/unrelated.py", "layers.py"}),
        ("from space.inner import x", {"space/inner.py"}),
        ("import importlib\nimportlib.import_module('pkg.near')", {"pkg/__init__.py", "pkg/near.py"}),
        ("__import__('layers')", {"layers.py"}),
        ("import torch, json, edgeprune", set()),
        ("import not_there", set()),
        ("this is no python", set()),
    ],
)
def test_closure_follows_imports(statement: str, reached: set[str], tmp_path: Path) -> None:
    _write(
        tmp_path,
        {
            "net.py": statement,
            "layers.py": "a = 1",
            "unrelated.py": "",
            "pkg/__init__.py": "",
            "pkg/deep.py": "from . import near\nfrom .near import b\nimport layers\nimport net",
            "pkg/near.py": "b = 1",
            "pkg/unrelated.py": "",
            "space/inner.py": "",
        },
    )
    assert _names("net.py:make", tmp_path) == {"net.py", *reached}


def test_installed_packages_count_by_version(tmp_path: Path) -> None:
    _write(tmp_path, {"net.py": "import sklearn.datasets\nfrom PIL import Image\nimport os"})
    closure = ImportClosure("net.py:make", tmp_path)
    assert closure.packages == ("PIL", "sklearn")
    digests = closure.digests(Hashes(tmp_path / "hashes.json"), tmp_path)
    assert digests.keys() == {"net.py", "PIL", "sklearn"}
    assert digests["sklearn"][0].isdigit()


def test_module_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _write(tmp_path, {"mynet/deep.py": "from . import other", "mynet/other.py": "", "mynet/unrelated.py": ""})
    assert _names("mynet.deep:make", tmp_path) == {"mynet/deep.py", "mynet/other.py"}
    assert ImportClosure("sklearn.datasets:load_digits", tmp_path).packages == ("sklearn",)
    missing = ImportClosure("no_such_package_anywhere:make", tmp_path)
    assert (missing.files, missing.packages) == ((), ())
    assert not ImportClosure("missing.py:make", tmp_path).files
