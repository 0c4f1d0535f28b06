"""The README in the package's metadata has no link that is broken outside the repository."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

_HOOK = Path(__file__).parents[2] / "hatch_build.py"


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    pytest.importorskip("hatchling")
    spec = importlib.util.spec_from_file_location("hatch_build", _HOOK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "with_base", "without_base"),
    [
        ("[docs](docs/ci.md)", "[docs](https://host/x/docs/ci.md)", "docs"),
        ("[docs](./docs/ci.md)", "[docs](https://host/x/docs/ci.md)", "docs"),
        ("![picture](docs/report.png)", "![picture](https://host/x/docs/report.png)", ""),
        ("[site](https://a.b/c)", "[site](https://a.b/c)", "[site](https://a.b/c)"),
        ("[below](#more)", "[below](#more)", "[below](#more)"),
        ("f(x)[0] (y)", "f(x)[0] (y)", "f(x)[0] (y)"),
    ],
)
def test_relative_links_are_made_absolute_or_text(
    text: str, with_base: str, without_base: str, hook: ModuleType
) -> None:
    assert hook.absolute_links(text, "https://host/x/") == with_base
    assert hook.absolute_links(text, None) == without_base
