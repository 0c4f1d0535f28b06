"""Classes found by name: those that EdgePrune has, and a user's own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from edgeprune.config.settings_base import nearest
from edgeprune.errors import InputError
from edgeprune.model.user_objects import load_object

REQUIRED = "(required)"
"""The default of an option that has none."""


class Registered(Protocol):
    """Base of the classes in a registry. Options are arguments of the constructor."""

    name: ClassVar[str]


T = TypeVar("T", bound=Registered)
K = TypeVar("K", bound=type[Any])


class Registry(Generic[T]):
    """Classes derived from one base, found by their ``name``; a user's own as ``module:Class`` or ``file.py:Class``.

    Args:
        base: What they all derive from.
        label: What messages begin with.
        also: Names that the caller understands besides, for messages to list.
    """

    def __init__(self, base: type, label: str, *, also: tuple[str, ...] = ()) -> None:
        self._base: type[T] = base  # given as type: mypy takes no abstract class for a type[T]
        self._label = label
        self._also = also
        self._kinds: dict[str, type[T]] = {}

    def register(self, kind: K) -> K:
        """Class decorator: make the class known by its ``name``."""
        assert kind.name not in self._kinds, f"{self._label}: two are named {kind.name}"
        self._kinds[kind.name] = kind
        return kind

    def registered(self) -> Mapping[str, type[T]]:
        """All of them by name."""
        return dict(sorted(self._kinds.items()))

    def find(self, name: str, folder: Path | None = None) -> type[T]:
        """The class called ``name``; file names are relative to ``folder``, None being the working folder.

        Raises:
            InputError: There is none (names the nearest), or the user's own does not derive from the base.
        """
        if ":" in name:
            found = load_object(name, base=folder or Path.cwd(), error=InputError)
            if not (inspect.isclass(found) and issubclass(found, self._base)):
                package = self._base.__module__.rpartition(".")[0]
                raise InputError(f"{self._label}: {name} is no class derived from {package}.{self._base.__name__}")
            return found
        if name not in self._kinds:
            near = nearest(name, list(self._kinds))
            hint = f"; did you mean {near!r}?" if near else ""
            known = ", ".join((*self._also, *sorted(self._kinds)))
            raise InputError(f"{self._label}: got {name!r}; there are {known}, or module:Class of your own{hint}")
        return self._kinds[name]

    def create(self, name: str, options: Mapping[str, Any] | None = None, *, base: Path | None = None) -> T:
        """The one called ``name``, made with ``options``.

        Args:
            name: One of ``registered()``; ``package.module:Class`` or ``file.py:Class`` for one's own.
            options: Arguments of its constructor.
            base: Folder that file names are relative to; None: the working folder.

        Raises:
            InputError: There is none (names the nearest), or it does not take the options.
        """
        return self.make(self.find(name, base), options)

    def make(self, kind: type[T], options: Mapping[str, Any] | None) -> T:
        """One of ``kind``, made with ``options``.

        Raises:
            InputError: It has no such option, or needs one that is not given; or as its constructor does.
        """
        given = dict(options or {})
        allowed = options_of(kind)
        unknown = [key for key in given if key not in allowed]
        missing = [key for key, default in allowed.items() if default is REQUIRED and key not in given]
        if unknown or missing:
            wrong = f"has no option {unknown[0]!r}" if unknown else f"needs option {missing[0]!r}"
            raise InputError(f"{self._label}: {kind.name} {wrong}; allowed are {', '.join(allowed) or 'none'}")
        return kind(**given)


def options_of(kind: type) -> dict[str, Any]:
    """The options of a class with their defaults, by name; ``REQUIRED`` for one that must be given."""
    parameters = inspect.signature(kind).parameters.values()
    return {one.name: REQUIRED if one.default is one.empty else one.default for one in parameters}


def documentation(kind: type, base: type) -> str:
    """The docstring of ``kind``, followed by those of the classes between it and ``base``."""
    family = kind.__mro__[: kind.__mro__.index(base)]
    return "\n\n".join(inspect.cleandoc(one.__doc__) for one in family if one.__doc__)
