"""Registry of classes by name: those of EdgePrune, and user-defined ones."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from edgeprune.config.settings_base import nearest
from edgeprune.errors import InputError
from edgeprune.model.user_objects import load_object

REQUIRED = "(required)"
"""Default of an option that has no default."""


class Registered(Protocol):
    """Base of the classes in a registry. Options are arguments of the constructor."""

    name: ClassVar[str]


T = TypeVar("T", bound=Registered)
K = TypeVar("K", bound=type[Any])


class Registry(Generic[T]):
    """Classes of one base by their ``name``; user-defined ones by ``module:Class`` or ``file.py:Class``.

    Args:
        base: Base of all classes.
        label: Kind of class, which begins messages.
        also: Other names that the caller accepts, listed in messages.
    """

    def __init__(self, base: type, label: str, *, also: tuple[str, ...] = ()) -> None:
        self._base: type[T] = base  # declared as type: mypy rejects abstract classes for type[T]
        self._label = label
        self._also = also
        self._kinds: dict[str, type[T]] = {}

    def register(self, kind: K) -> K:
        """Class decorator: register the class under its ``name``."""
        assert kind.name not in self._kinds, f"{self._label}: two are named {kind.name}"
        self._kinds[kind.name] = kind
        return kind

    def registered(self) -> Mapping[str, type[T]]:
        """Return all registered classes by name."""
        return dict(sorted(self._kinds.items()))

    def find(self, name: str, folder: Path | None = None) -> type[T]:
        """Return the class ``name``; file names are relative to ``folder``, by default the working folder.

        Raises:
            InputError: The name is unknown (the message suggests a similar one), or the class has another base.
        """
        if ":" in name:
            kind = load_object(name, base=folder or Path.cwd(), error=InputError)
            if not (inspect.isclass(kind) and issubclass(kind, self._base)):
                package = self._base.__module__.rpartition(".")[0]
                raise InputError(f"{self._label}: {name} must be a class derived from {package}.{self._base.__name__}")
            return kind
        if name not in self._kinds:
            near = nearest(name, list(self._kinds))
            hint = f"; did you mean {near!r}?" if near else ""
            available = ", ".join((*self._also, *sorted(self._kinds)))
            raise InputError(f"{self._label}: got {name!r}, must be one of {available}, or your own module:Class{hint}")
        return self._kinds[name]

    def create(self, name: str, options: Mapping[str, Any] | None = None, *, base: Path | None = None) -> T:
        """Create an instance of the class ``name`` with ``options``.

        Args:
            name: Name in ``registered()``, or ``package.module:Class`` or ``file.py:Class`` for your own class.
            options: Arguments of the constructor.
            base: Folder that file names are relative to. None: the working folder.

        Raises:
            InputError: The name is unknown (the message suggests a similar one), or the options are not accepted.
        """
        return self.make(self.find(name, base), options)

    def make(self, kind: type[T], options: Mapping[str, Any] | None) -> T:
        """Create an instance of ``kind`` with ``options``.

        Raises:
            InputError: An option is unknown or missing, or the constructor rejects a value.
        """
        values = dict(options or {})
        allowed = options_of(kind)
        unknown = [key for key in values if key not in allowed]
        missing = [key for key, default in allowed.items() if default is REQUIRED and key not in values]
        if unknown or missing:
            wrong = f"has no option {unknown[0]!r}" if unknown else f"needs option {missing[0]!r}"
            raise InputError(f"{self._label}: {kind.name} {wrong}; allowed are {', '.join(allowed) or 'none'}")
        return kind(**values)


def options_of(kind: type) -> dict[str, Any]:
    """Return the options of a class with their defaults, by name; ``REQUIRED`` for an option without a default."""
    parameters = inspect.signature(kind).parameters.values()
    return {one.name: REQUIRED if one.default is one.empty else one.default for one in parameters}


def documentation(kind: type, base: type) -> str:
    """Return the docstring of ``kind``, followed by those of the classes between it and ``base``."""
    family = kind.__mro__[: kind.__mro__.index(base)]
    return "\n\n".join(inspect.cleandoc(one.__doc__) for one in family if one.__doc__)
