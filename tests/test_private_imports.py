"""Tests use what a module offers to others: a name with an underscore may change without notice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

_TESTS = Path(__file__).parent


def _private_imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names that are imported from EdgePrune and have a part that is private."""
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, (ast.Import, ast.ImportFrom)) else []
        start = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for name in names:
            parts = f"{start}{name}".split(".")
            if parts[0] == "edgeprune" and any(part.startswith("_") and not part.endswith("__") for part in parts):
                yield ".".join(parts)


def test_no_test_imports_a_private_name() -> None:
    results = {
        f"{path.relative_to(_TESTS)}: {name}"
        for path in _TESTS.rglob("*.py")
        for name in _private_imports(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert results == set()


def test_private_names_are_found() -> None:
    tree = ast.parse("from edgeprune.a import _b, c\nimport edgeprune._d.e\nfrom torch.utils import _pytree")
    assert list(_private_imports(tree)) == ["edgeprune.a._b", "edgeprune._d.e"]
