"""Loading of user code by name: ``file.py:name`` next to a recipe, or ``package.module:name`` on the import path."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

from edgeprune.errors import EdgePruneError, InputError, ModelError
from edgeprune.model.user_code_guard import user_code


def load_object(spec: str, *, base: Path, error: type[InputError] = ModelError) -> Any:
    """Import the object that ``spec`` names.

    Args:
        spec: ``file.py:name`` with the file relative to ``base``, or ``package.module:name`` importable from the
            working folder or an installed package. ``name`` may have dots (``Net.small``).
        base: Folder that file names are relative to.
        error: Class of every error raised here.

    Raises:
        InputError: Raised as ``error``. The spec is not valid, its file, module or name does not exist, or its import
            fails.
    """
    source, colon, name = spec.rpartition(":")
    if not (colon and source and name):
        raise error(f"expected 'file.py:name' or 'package.module:name', got '{spec}'")
    with user_code(f"{source} cannot be imported", error):
        module = _from_file(base / source, error) if source.endswith(".py") else _from_package(source, error)
    try:
        with user_code(f"{spec} cannot be read", error):
            return _attribute(module, name)
    except _NoAttributeError:
        defined = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise error(
            f"{source} does not define '{name}'; its functions and classes are: {', '.join(defined) or 'none'}"
        ) from None


class _NoAttributeError(EdgePruneError):
    """The name does not exist in the module."""


def _attribute(module: ModuleType, name: str) -> Any:
    try:
        return reduce(getattr, name.split("."), module)
    except AttributeError as problem:
        raise _NoAttributeError from problem


def _from_file(path: Path, error: type[InputError]) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise error(f"cannot read {path}: the file does not exist")
    # Two recipes may both have a model.py: the name in sys.modules comes from the whole path.
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    spec = importlib.util.spec_from_file_location(f"edgeprune_user_{path.stem}_{digest}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        with _importable(path.parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module


def _from_package(name: str, error: type[InputError]) -> ModuleType:
    with _importable(Path.cwd()):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as problem:
            if problem.name is None or not (name == problem.name or name.startswith(problem.name + ".")):
                raise  # the module exists, and imports one that does not
            raise error(f"module '{name}' does not exist in {Path.cwd()} or in the installed packages") from None


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let code in ``folder`` import modules of the same folder, as if Python ran it as a script."""
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)
