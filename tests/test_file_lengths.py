"""No source file is so long that its reader loses the thread."""

from __future__ import annotations

from pathlib import Path

import edgeprune

_PACKAGE = Path(edgeprune.__file__).parent
_MOST_LINES = 299


def test_no_source_file_is_longer_than_the_limit() -> None:
    files = [path for path in _PACKAGE.rglob("*.py") if "_data" not in path.parts]
    lines = {str(path.relative_to(_PACKAGE)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: count for name, count in lines.items() if count > _MOST_LINES} == {}
