"""Source files and packages that a stage uses, found by following import statements from the module of the stage.

Both are part of the stage's cache key. Import statements inside functions count; those under ``if TYPE_CHECKING`` do
not. If the files cannot be determined exactly, more of them count:

- If the ``__init__.py`` of a package imports by a computed name (a registry, lazy attributes), all its modules count.
- If one module of a package counts, all data files of the package count: style sheets, templates, C++ sources.
- An import statement in a docstring counts.

Three rules exclude code that a stage does not use. The modules that run the stages (``_RUNNERS``) import all stages and
the report, so their imports are not followed. ``BuildContext`` creates objects for every stage, so each of its
members is treated as a separate module: it counts if a module of the pipeline, or a member that counts, names it after
a dot. Of the schedules, only the one that the recipe names counts, with its imports. For a schedule of the user, which
may be derived from any of them, all schedules count.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_ROOT = "edgeprune"
_PIPELINE = f"{_ROOT}.pipeline"
_CONTEXT = f"{_PIPELINE}.build_context"
_RUNNERS = (_PIPELINE, f"{_PIPELINE}.build_pipeline", f"{_PIPELINE}.stage_runner", f"{_PIPELINE}.stages")
_SCHEDULES = f"{_ROOT}.schedules"
_EXCLUDED = ("_data", "__pycache__")
"""Recipes and targets are in the settings of the stages."""

_TYPE_CHECKING = re.compile(r"\nif TYPE_CHECKING:\n(?:[ \t]+.*\n|\n)+")
_IMPORT = re.compile(r"\n[ \t]*(?:import|from[ \t]+([\w.]+)[ \t]+import)[ \t]+(\([^)]*\)|.*)")
_NAME = re.compile(r"[\w.]+")
_OF_CONTEXT = re.compile(r"(?:context|self)\.(\w+)")
_REGISTERED_NAME = re.compile(r'\n    name = "(\w+)"\n')
_COMPUTED_IMPORT = re.compile(r"\b(?:import_module|lazy_attributes)\(")


@dataclass(frozen=True)
class StageSources:
    """Code that a stage uses.

    Attributes:
        files: SHA-256 of each file of EdgePrune, by path in the package.
        imports: Top-level names of the modules that these files import, including the standard library.
    """

    files: Mapping[str, str]
    imports: frozenset[str]


@cache
def stage_sources(module: str, schedule: str, package: Path = _PACKAGE) -> StageSources:
    """Return the code that a stage uses.

    Args:
        module: Module of the stage.
        schedule: Schedule of the recipe; all schedules count if it is not the name of a schedule of EdgePrune.
        package: Folder of the package ``edgeprune``.
    """
    return _tree(package).sources(module, schedule)


def all_sources(package: Path = _PACKAGE) -> Mapping[str, str]:
    """Return the SHA-256 of each file of EdgePrune, by path in the package."""
    return _tree(package).hashes


@cache
def _tree(package: Path) -> _SourceTree:
    return _SourceTree(package)


class _SourceTree:
    """All files of EdgePrune, and the imports between its modules.

    Args:
        package: Folder of the package ``edgeprune``.

    Attributes:
        hashes: SHA-256 of each file, by path in the package.
    """

    def __init__(self, package: Path) -> None:
        contents = dict(_files_in(package))
        self.hashes = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
        texts = {_module(path): content.decode() for path, content in contents.items() if path.endswith(".py")}
        members = _members_of_context(texts[_CONTEXT])
        for text in members.values():
            texts[_CONTEXT] = texts[_CONTEXT].replace(text, "")
        texts |= members | dict.fromkeys(_RUNNERS, "")
        self._modules = texts.keys()
        imports = {name: _imports(text) for name, text in texts.items()}
        self._leads_to = {name: self._next(name, text, imports[name]) for name, text in texts.items()}
        self._roots = {name: {imported.partition(".")[0] for imported in imports[name]} for name in texts}
        self._files: dict[str, list[str]] = {name: [] for name in texts}
        for path in contents:
            owner = _module(path if path.endswith(".py") else f"{path.rpartition('/')[0]}/__init__.py")
            self._files[next(self._enclosing_modules(owner))].append(path)
        self._schedules = {name: set(_REGISTERED_NAME.findall(texts[name])) for name in self._leads_to[_SCHEDULES]}

    def sources(self, module: str, schedule: str) -> StageSources:
        """Return the code that ``module`` reaches, with ``schedule`` as the only schedule."""
        leads_to = self._leads_to
        chosen = {name for name in leads_to[_SCHEDULES] if schedule in self._schedules.get(name, ())}
        if chosen:
            others = {name for name in leads_to[_SCHEDULES] if name.startswith(f"{_SCHEDULES}.")} - chosen
            leads_to = {**leads_to, _SCHEDULES: leads_to[_SCHEDULES] - others}
        reached: set[str] = set()
        pending = {module, *_RUNNERS}
        while pending:
            name = pending.pop()
            reached.add(name)
            pending |= leads_to[name] - reached
        paths = sorted(path for name in reached for path in self._files[name])
        imports = frozenset[str]().union(*(self._roots[name] for name in reached))
        return StageSources({path: self.hashes[path] for path in paths}, imports)

    def _next(self, name: str, text: str, imports: set[str]) -> set[str]:
        """Return the modules that count if the module ``name`` does: its packages and its imports."""
        names = {name, *(imported for imported in imports if imported.startswith(_ROOT))}
        if name.startswith(_PIPELINE):
            names |= {f"{_CONTEXT}.{attribute}" for attribute in _OF_CONTEXT.findall(text)}
        if name != _ROOT and _COMPUTED_IMPORT.search(text):
            names |= {module for module in self._modules if module.startswith(f"{name}.")}
        modules: set[str] = set()
        for imported in names:
            for module in self._enclosing_modules(imported):
                if module in modules:  # and the packages that contain it
                    break
                modules.add(module)
        return modules

    def _enclosing_modules(self, name: str) -> Iterator[str]:
        """Yield the module that a dotted name begins with, then the packages that contain it, innermost first."""
        while name:
            if name in self._modules:
                yield name
            name = name.rpartition(".")[0]


def _files_in(package: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the path in the package and the content of each file."""
    for folder, folders, names in os.walk(package):
        folders[:] = sorted(set(folders) - set(_EXCLUDED))
        parents = Path(folder).relative_to(package).parts
        for name in sorted(names):
            yield "/".join((*parents, name)), Path(folder, name).read_bytes()


def _module(path: str) -> str:
    """Return the dotted name of a Python file in the package."""
    return ".".join((_ROOT, *path.removesuffix(".py").split("/"))).removesuffix(".__init__")


def _members_of_context(text: str) -> dict[str, str]:
    """Return the source of each method and property of ``BuildContext``, by dotted name."""
    lines = text.splitlines(keepends=True)
    [context] = (
        node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name == "BuildContext"
    )
    return {
        f"{_CONTEXT}.{node.name}": "".join(lines[node.lineno - 1 : node.end_lineno])
        for node in context.body
        if isinstance(node, ast.FunctionDef) and node.name != "__init__"
    }


def _imports(text: str) -> set[str]:
    """Return the dotted names in the import statements of a module."""
    names = set()
    for module, imported in _IMPORT.findall(_TYPE_CHECKING.sub("\n", f"\n{text}")):
        if module:  # each imported name may be a module itself
            names |= {module, *(f"{module}.{name}" for name in _NAME.findall(imported))}
        else:
            names.update(_NAME.findall(imported))
    return names
