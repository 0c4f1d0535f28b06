"""Variables are named by nouns, and docstrings begin with a noun phrase or an imperative."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_PARTICIPLES = frozenset(
    "asked drawn found given gone held kept known left lost made rest said seen shown spent taken told wanted".split()
)
"""Names that describe the history of a value instead of the value."""
_ALLOWED = {"left": "right"}
"""Names that are allowed in a file that also binds the other name: the left and the right operand or edge."""
_HEADLESS = re.compile(r"(What|How|Where|Which|Who|That|As|Of|It)\b|Whether\b")
_PROPERTIES = frozenset({"property", "cached_property"})


def _trees(pattern: str, *folders: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield the syntax trees of files whose text contains ``pattern``. Most files do not, and are not parsed."""
    for path in (path for folder in folders for path in sorted((_ROOT / folder).rglob("*.py"))):
        text = path.read_text(encoding="utf-8")
        if re.search(pattern, text):
            yield str(path.relative_to(_ROOT)), ast.parse(text)


def _bound_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno


def test_variables_are_not_participles() -> None:
    problems = []
    words = "|".join(_PARTICIPLES)
    pattern = rf"\b(?:{words})\b(?:,[^=\n]*)?\s*(?::?=[^=]|:|in\b|[,)])"
    for file, tree in _trees(pattern, "edgeprune", "scripts", "tests"):
        names = list(_bound_names(tree))
        every = {name for name, _ in names}
        problems += [
            f"{file}:{line} {name}"
            for name, line in names
            if name.strip("_") in _PARTICIPLES and _ALLOWED.get(name) not in every
        ]
    assert not problems


def test_docstrings_do_not_begin_with_a_relative_clause() -> None:
    """``Whether`` is the beginning of the documentation of a property that is a bool, as of an attribute."""
    problems = []
    for file, tree in _trees(rf'"""(?:{_HEADLESS.pattern})', "edgeprune"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                match = _HEADLESS.match(ast.get_docstring(node) or "")
                if match and not (match[0] == "Whether" and _is_bool_property(node)):
                    problems.append(f"{file}:{getattr(node, 'lineno', 1)} {match[0]}")
    assert not problems


def _is_bool_property(node: ast.AST) -> bool:
    decorators = {ast.unparse(decorator) for decorator in getattr(node, "decorator_list", ())}
    returns = getattr(node, "returns", None)
    return bool(decorators & _PROPERTIES) and returns is not None and ast.unparse(returns) in ("bool", "bool | None")
