"""Lock file ``edgeprune.lock``: measured values that decided a choice, so that later builds repeat the choice.

The file is in the folder of the recipe, to be committed with it. For a packaged recipe, or a folder that is not
writable, it is in the working folder. One file holds the recipes of a folder::

    {"schema": 1, "recipes": {"digits": {"training": {"precision": "float32"},
                                         "targets": {"host": {"int8": "faster", "plans": {
                                             "3f2a9c1b07de": "fisher, global balance 1, align 8"}}}}}}

An entry is valid until ``build --update-lock`` measures again. Entries are results of measurements, not choices: each
build checks again whether int8 keeps the accuracy. The exception is the chosen candidate plan, stored under a hash of
network, data and settings.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from edgeprune import files, safe_json
from edgeprune.config import Recipe, file_lookup
from edgeprune.config.settings_base import Settings, validate
from edgeprune.errors import RecipeError
from edgeprune.pipeline.stage import LockEntries

NAME = "edgeprune.lock"
_SCHEMA = 1


def path_of(recipe: Recipe) -> Path:
    """Return the path of the lock file of ``recipe``, which may not exist yet."""
    packaged = recipe.folder.is_relative_to(file_lookup.packaged("recipes").resolve())
    in_folder = not packaged and ((recipe.folder / NAME).is_file() or os.access(recipe.folder, os.W_OK))
    return (recipe.folder if in_folder else Path.cwd()) / NAME


class _Training(Settings):
    precision: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False


class _Target(Settings):
    int8: Literal["faster", "slower", "unsure"] = "unsure"
    latency_table: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = ""
    plans: Mapping[str, str] = {}


class _Section(Settings):
    """Schema of the section of one recipe; the defaults have no meaning."""

    training: _Training = _Training()
    targets: Mapping[str, _Target] = {}


class Lock:
    """Lock entries of one recipe.

    Args:
        path: Path of the lock file, which may not exist; None: entries are not stored.
        recipe: Name of the recipe.
        update: Whether to ignore the entries in the file and measure again. Unknown keys and values are dropped then.

    Raises:
        RecipeError: The file is damaged, has a newer schema, or has an unknown key or value.
    """

    def __init__(self, path: Path | None, recipe: str, *, update: bool = False) -> None:
        self.path = path
        self.update = update
        self._recipe = recipe
        section = dict(self._read().get("recipes", {}).get(recipe, {}))
        problem = self._problem(section)
        if problem is not None and not update:
            raise RecipeError(f"{problem}; restore the file, or measure again with --update-lock")
        self._damaged_section = problem is not None
        self._entries: dict[str, Any] = {} if update else section
        self._new_entries: dict[tuple[str, ...], dict[str, Any]] = {}

    def get(self, *table: str) -> Mapping[str, Any]:
        """Return the entries in ``table``: ``("training",)``, or ``("targets", name)``."""
        entries: dict[str, Any] = self._entries
        for name in table:
            entries = entries.get(name, {})
        return entries

    def matches(self, lock_entries: LockEntries) -> bool:
        """Return whether no entry of ``lock_entries`` has another value in the lock."""
        return all(
            self.get(*table).get(name, value) == value
            for table, entries in lock_entries.items()
            for name, value in entries.items()
        )

    def add(self, lock_entries: LockEntries) -> None:
        """Add ``lock_entries``, which ``save`` writes to the file."""
        for table, entries in lock_entries.items():
            self._new_entries.setdefault(table, {}).update(entries)

    def save(self) -> None:
        """Write the new entries to the file. Entries of other recipes and targets are preserved."""
        if self.path is None:
            return
        content = self._read()
        text = _text(content)
        if self._damaged_section:
            content["recipes"][self._recipe] = {}
        for table, lock_entries in self._new_entries.items():
            inner = content.setdefault("recipes", {})
            for name in (self._recipe, *table):
                inner = inner.setdefault(name, {})
            inner.update(lock_entries)
        if _text(content) != text and any(self._new_entries.values()):
            files.write_atomic(self.path, _text({"schema": _SCHEMA, **content}))

    def _read(self) -> dict[str, Any]:
        if self.path is None:
            return {}
        try:
            values = safe_json.load(self.path)
        except FileNotFoundError:
            return {}
        except OSError as problem:
            raise RecipeError(f"cannot read {self.path}: {problem.strerror}") from problem
        except ValueError as problem:
            raise self._damaged(str(problem)) from problem
        if not isinstance(values, dict):
            raise self._damaged("it must be an object with the key 'schema'")
        schema = values.get("schema")
        if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
            raise self._damaged("the key 'schema' must be a whole number from 1")
        if schema > _SCHEMA:
            raise RecipeError(
                f"{self.path} has schema {values['schema']}, but this EdgePrune supports schemas up to {_SCHEMA}: "
                "install a newer EdgePrune"
            )
        recipes = values.get("recipes", {})
        if not isinstance(recipes, dict) or not all(isinstance(section, dict) for section in recipes.values()):
            raise self._damaged("the key 'recipes' must be a table of tables")
        return values

    def _problem(self, section: Mapping[str, Any]) -> str | None:
        """Return the message about unknown keys and values in ``section``; None if there are none."""
        try:
            validate(_Section, section, where=f"recipe {self._recipe} of {self.path}", error=RecipeError)
        except RecipeError as problem:
            return str(problem)
        return None

    def _damaged(self, reason: str) -> RecipeError:
        return RecipeError(
            f"{self.path} is not a lock file of EdgePrune ({reason}): restore it, or remove it to measure again"
        )


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
