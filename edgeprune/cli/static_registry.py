"""Members of a registry, read from the source files of its package without importing them, and so without torch."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REQUIRED = "(required)"
"""Marker for an option without a default, as in ``model.registry``."""


@dataclass(frozen=True)
class StaticMember:
    """A registered class.

    Attributes:
        name: Name in the registry.
        facts: Class attributes with literal values, including inherited ones.
        documentation: Docstring of the class, followed by those of its ancestors below the base class.
        options: Constructor arguments with their defaults.
    """

    name: str
    facts: dict[str, Any]
    documentation: str
    options: dict[str, Any]


@dataclass
class _Class:
    module: str
    node: ast.ClassDef
    constants: dict[str, Any] = field(default_factory=dict)

    @property
    def bases(self) -> list[str]:
        return [base.id for base in self.node.bases if isinstance(base, ast.Name)]


def static_members(package: str, base: str) -> dict[str, StaticMember]:
    """Return all classes of ``package`` with the decorator ``@register``, by name.

    Args:
        package: Dotted name of the package that holds the registry.
        base: Name of the class that all members derive from.
    """
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    classes: dict[str, _Class] = {}
    for path in sorted(Path(spec.origin).parent.glob("*.py")):
        classes |= _classes(path)
    members = (_member(one, classes, base) for one in classes.values() if _is_registered(one.node))
    return {member.name: member for member in sorted(members, key=lambda member: member.name)}


def _classes(path: Path) -> dict[str, _Class]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = dict(_assigned(tree.body))
    return {node.name: _Class(path.stem, node, constants) for node in tree.body if isinstance(node, ast.ClassDef)}


def _is_registered(node: ast.ClassDef) -> bool:
    return any(isinstance(decorator, ast.Name) and decorator.id == "register" for decorator in node.decorator_list)


def _member(one: _Class, classes: dict[str, _Class], base: str) -> StaticMember:
    ancestry = list(_family(one, classes))
    facts: dict[str, Any] = {}
    for kind in reversed(ancestry):
        facts |= dict(_assigned(kind.node.body, kind.constants))
    own = [kind for kind in ancestry if kind.node.name != base]
    texts = [ast.get_docstring(kind.node, clean=False) for kind in own]
    options = next((_options(kind) for kind in ancestry if _constructor(kind.node) is not None), {})
    documentation = "\n\n".join(inspect.cleandoc(text) for text in texts if text)
    return StaticMember(facts["name"], facts, documentation, options)


def _family(one: _Class, classes: dict[str, _Class]) -> Iterator[_Class]:
    """Yield the class and its ancestors in the package, nearest first."""
    yield one
    for name in one.bases:
        if name in classes:
            yield from _family(classes[name], classes)


def _assigned(body: list[ast.stmt], constants: dict[str, Any] | None = None) -> Iterator[tuple[str, Any]]:
    """Yield the names in ``body`` that are assigned a literal or another constant, with their values."""
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            target, value = node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            target, value = node.target.id, node.value
        else:
            continue
        try:
            yield target, _value(value, constants or {})
        except ValueError:
            continue


def _value(node: ast.expr, constants: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name) and node.id in constants:
        return constants[node.id]
    return ast.literal_eval(node)


def _constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    functions = (item for item in node.body if isinstance(item, ast.FunctionDef))
    return next((item for item in functions if item.name == "__init__"), None)


def _options(kind: _Class) -> dict[str, Any]:
    constructor = _constructor(kind.node)
    assert constructor is not None
    arguments = constructor.args
    names = [argument.arg for argument in arguments.args][1:]  # without self
    defaults = [_value(default, kind.constants) for default in arguments.defaults]
    options = dict.fromkeys(names[: len(names) - len(defaults)], REQUIRED)
    options |= dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        options[argument.arg] = REQUIRED if default is None else _value(default, kind.constants)
    return options
