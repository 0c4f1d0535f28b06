"""File names of the package: each says what the file holds without its folder."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import edgeprune

_CONVENTIONS = {"__init__.py", "__main__.py", "base.py"}


def test_no_two_files_of_the_package_share_a_name() -> None:
    folder = Path(edgeprune.__file__).parent
    files = defaultdict(list)
    for path in folder.rglob("*.py"):
        files[path.name].append(str(path.relative_to(folder)))
    shared = {name: paths for name, paths in files.items() if len(paths) > 1 and name not in _CONVENTIONS}
    assert not shared
