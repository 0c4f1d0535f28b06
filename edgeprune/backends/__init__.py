"""Registry of backends: one folder for each runtime.

The module ``x/x_backend.py`` defines the backend of the folder ``x`` as ``BACKEND``.

Other packages register a backend as an entry point of the group ``edgeprune.backends``: ``name = "module:BACKEND"``.
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from edgeprune.backends.base import Backend
from edgeprune.config import Target
from edgeprune.config.settings_base import nearest
from edgeprune.errors import ModelError, TargetError

__all__ = ["Backend", "backend", "for_file", "for_target", "names", "suffixes"]

_GROUP = "edgeprune.backends"
_FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Names of all backends, in alphabetical order."""
    return tuple(sorted(_own_names() | {point.name for point in entry_points(group=_GROUP)}))


@cache
def backend(name: str) -> Backend:
    """Return the backend with the name ``name``.

    Raises:
        TargetError: No backend has this name; the message names the most similar one.
    """
    if name in _own_names():  # never a path from the name, which a file of unknown origin may give
        instance = importlib.import_module(f"{__name__}.{name}.{name}_backend").BACKEND
    else:
        point = next(iter(entry_points(group=_GROUP, name=name)), None)
        if point is None:
            near = nearest(name, list(names()))
            hint = f"; did you mean '{near}'?" if near else ""
            raise TargetError(f"runtime.name: got '{name:.80}', must be one of {', '.join(names())}{hint}")
        instance = point.load()
    assert isinstance(instance, Backend), f"{name}: {instance!r} is not an instance of edgeprune.backends.Backend"
    return instance


@cache
def _own_names() -> frozenset[str]:
    """Names of the backends in this package."""
    files = _FOLDER.glob("*/*_backend.py")
    return frozenset(file.parent.name for file in files if file.stem == f"{file.parent.name}_backend")


def for_target(target: Target) -> Backend:
    """Return the backend of a target.

    Raises:
        TargetError: No backend has this name, or the target lacks a table that the backend needs.
    """
    instance = backend(target.runtime.name)
    instance.check_target(target)
    return instance


def suffixes() -> tuple[str, ...]:
    """Suffixes of model files that can be run on this machine."""
    return tuple(instance.suffix for instance in map(backend, names()) if instance.is_default_for_suffix)


def for_file(path: Path) -> Backend:
    """Return the backend that runs the model file ``path`` on this machine.

    Raises:
        ModelError: No backend has this suffix.
    """
    for instance in map(backend, names()):
        if instance.is_default_for_suffix and instance.suffix == path.suffix:
            return instance
    raise ModelError(f"{path}: expected a model file with the suffix {' or '.join(suffixes())}, got '{path.suffix}'")
