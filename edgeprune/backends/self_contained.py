"""Generator of self-contained scripts for devices: it inlines the modules that a script imports from ``runner_parts``.

Parts for several backends are in ``backends/runner_parts/``; parts for one backend are in its folder ``runner_parts/``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path

_PART = re.compile(r"edgeprune\.backends\.(\w+\.)?runner_parts\.\w+")
_PACKAGE = Path(__file__).parents[1]


def self_contained(script: Path) -> str:
    """Return the content of ``script`` with its parts in place of the statements that import them.

    The parts follow the imports of the script, each before those that import it. Their own imports of the standard
    library are merged with those of the script; other packages are imported by the script itself. A script that
    imports no part is returned unchanged.
    """
    text = script.read_text(encoding="utf-8")
    tree = ast.parse(text)
    parts = list(_parts(tree))
    if not parts:
        return text
    trees = {part: ast.parse(_source(part)) for part in parts}
    lines = text.splitlines()
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom)) and not _is_future(node)]
    head = lines[: imports[0].lineno - 1]
    merged_imports = _merged([*imports, *(node for part in trees.values() for node in part.body)])
    end = _header_end(tree)
    between = lines[imports[-1].end_lineno : end]
    bodies = [line for part in parts for line in ("", "", f"# {part}", "", *_body(part))]
    return "\n".join([*head, *merged_imports, *between, *bodies, *lines[end:], ""])


def _parts(tree: ast.Module) -> Iterator[str]:
    """Modules of the parts that a module imports, directly or indirectly, each once and after its own imports."""
    modules: dict[str, None] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and _PART.fullmatch(node.module):
            modules |= dict.fromkeys([*_parts(ast.parse(_source(node.module))), node.module])
    return iter(modules)


def _source(part: str) -> str:
    _, *names = part.split(".")
    return _PACKAGE.joinpath(*names).with_suffix(".py").read_text(encoding="utf-8")


def _body(part: str) -> list[str]:
    """Lines of a part after its imports."""
    text = _source(part)
    return "\n".join(text.splitlines()[_header_end(ast.parse(text)) :]).strip("\n").splitlines()


def _merged(nodes: Iterable[ast.stmt]) -> list[str]:
    """One statement for each module of the standard library that ``nodes`` import, sorted."""
    modules: set[str] = set()
    names: dict[str, set[str]] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names if alias.name.partition(".")[0] in sys.stdlib_module_names}
        elif isinstance(node, ast.ImportFrom) and not _is_future(node):
            assert node.module is not None
            if node.module.partition(".")[0] in sys.stdlib_module_names:
                names.setdefault(node.module, set()).update(alias.name for alias in node.names)
    ordered = [f"from {module} import {', '.join(sorted(names[module]))}" for module in sorted(names)]
    return [*(f"import {module}" for module in sorted(modules)), *ordered]


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _header_end(tree: ast.Module) -> int:
    """Number of lines before the first statement other than a docstring, an import, or a try or if around imports."""
    return max(node.end_lineno or 0 for node in takewhile(_is_header, tree.body))


def _is_header(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, (ast.Try, ast.If)):
        return any(isinstance(inner, (ast.Import, ast.ImportFrom)) for inner in node.body)
    return isinstance(node, (ast.Import, ast.ImportFrom))
