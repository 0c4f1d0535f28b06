"""What a script that runs elsewhere imports."""

from __future__ import annotations

import ast
from pathlib import Path


def imported(script: Path) -> set[str]:
    """The packages that ``script`` imports anywhere, by their first name; it must be Python 3.8."""
    results: set[str] = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"), feature_version=(3, 8))):
        if isinstance(node, ast.Import):
            results |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            results.add((node.module or "").partition(".")[0])
    return results
