"""Static import closure: the Python files and packages that user code reaches by its import statements.

The closure is computed from syntax trees, without running code. It includes imports inside functions. Imports by a
computed name are added at run time; see ``file_recorder``.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from edgeprune import files
from edgeprune.pipeline.fingerprint import Hashes

_EDGEPRUNE = Path(__file__).parents[1]
_RECIPES = _EDGEPRUNE / "_data"
_STDLIB = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
_INSTALLED = ("site-packages", "dist-packages")
_DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}
_DYNAMIC_IMPORTS = ("import_module", "__import__")


class ImportClosure:
    """Files that ``file.py:name`` or ``package.module:name`` imports, directly or through other files of the user.

    Files of EdgePrune and of the standard library are excluded. Installed packages are listed, but not followed.

    Args:
        spec: Name of the object; see ``model.user_objects.load_object``.
        base: Folder that file names are relative to.

    Attributes:
        files: The user's files, sorted; empty where ``spec`` names nothing that exists.
        packages: Top-level names of the installed packages that these files import, sorted.
    """

    def __init__(self, spec: str, base: Path) -> None:
        self._files: set[Path] = set()
        self._packages: dict[str, Path | None] = {}
        importlib.invalidate_caches()
        module = spec.rpartition(":")[0]
        if module.endswith(".py"):
            path = (base / module).resolve()
            self._search = [str(path.parent), *sys.path]
            self._add(path, root=True)
        else:
            self._search = [str(Path.cwd()), *sys.path]
            self._follow(module.split("."), self._search)
        self.files = tuple(sorted(self._files))
        self.packages = tuple(sorted(self._packages))

    def digests(self, hashes: Hashes, base: Path) -> dict[str, str]:
        """Return the SHA-256 of each file by path relative to ``base``, and the version of each installed package."""
        hashes_by_name = {relative_name(path, base): hashes.file(path) for path in self.files}
        return hashes_by_name | {name: _version(name, origin) for name, origin in sorted(self._packages.items())}

    def _add(self, path: Path, *, root: bool = False) -> None:
        if path in self._files or not path.is_file() or not (root or is_user_code(path)):
            return
        self._files.add(path)
        if path.suffix != ".py":
            return
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # reported where the module is imported
            return
        for parts, level in _imports(tree):
            self._follow(parts, self._search if level == 0 else [str(_parent(path, level))])

    def _follow(self, parts: Sequence[str], search: Sequence[str]) -> None:
        locations = list(search)
        for part in parts:
            if part == "*":
                for location in locations:
                    for path in sorted(Path(location).glob("*.py")):
                        self._add(path.resolve())
                return
            spec = _find(part, locations)
            if spec is None:
                return
            origin = Path(spec.origin).resolve() if spec.has_location and spec.origin else None
            if origin is not None and not is_user_code(origin):
                if any(name in origin.parts for name in _INSTALLED):
                    self._packages[parts[0]] = origin
                return
            if origin is not None:
                self._add(origin)
            locations = list(spec.submodule_search_locations or ())
            if not locations:
                return


def is_user_code(path: Path) -> bool:
    """Return whether a Python file is part of neither EdgePrune, the standard library nor an installed package."""
    if path.is_relative_to(_EDGEPRUNE):
        return path.is_relative_to(_RECIPES)
    return not is_installed(path)


def is_installed(path: Path) -> bool:
    """Return whether a file belongs to the standard library or an installed package."""
    return any(name in path.parts for name in _INSTALLED) or any(path.is_relative_to(folder) for folder in _STDLIB)


def relative_name(path: Path, *bases: Path) -> str:
    """Return ``path`` relative to the first of ``bases`` that contains it, or to the folder of installed packages."""
    for base in bases:
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    for index, part in enumerate(path.parts):
        if part in _INSTALLED:
            return "/".join(path.parts[index:])
    return path.as_posix()


def _find(name: str, locations: Sequence[str]) -> ModuleSpec | None:
    try:
        return PathFinder.find_spec(name, list(locations))
    except (ImportError, ValueError):
        return None


def _parent(path: Path, level: int) -> Path:
    for _ in range(level):
        path = path.parent
    return path


def _imports(tree: ast.AST) -> Iterator[tuple[list[str], int]]:
    """Yield the dotted names that a module imports, with the level of relative imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split("."), 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            if not module:
                yield ["__init__"], node.level
            for alias in node.names:  # each may be a module itself
                yield [*module, alias.name], node.level
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            if called in _DYNAMIC_IMPORTS and isinstance(node.args[0].value, str):
                yield node.args[0].value.split("."), 0


@cache
def _version(name: str, origin: Path | None) -> str:
    """Return the version of the installed package ``name``; the hash of its first file if it has no distribution."""
    try:
        return importlib.metadata.version(_DISTRIBUTIONS.get(name, name))
    except importlib.metadata.PackageNotFoundError:
        return files.sha256(origin) if origin is not None else "unknown"
