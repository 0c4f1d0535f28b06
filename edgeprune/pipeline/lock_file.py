"""``edgeprune.lock``: what a build found by measuring and then rested a choice on, so that another build repeats it.

It lies beside the recipe, to be committed with it; of a packaged recipe, or one in a folder that cannot be written, in
the working folder. One file holds the recipes of a folder::

    {"schema": 1, "recipes": {"digits": {"training": {"precision": "float32"},
                                         "targets": {"host": {"int8": "faster", "plans": {
                                             "3f2a9c1b07de": "fisher, global balance 1, align 8"}}}}}}

A finding holds until ``build --update-lock`` measures again. It holds results of measurements, not choices: each build
checks again whether int8 keeps the accuracy. The exception is the chosen candidate plan, under a hash of network, data
and settings.
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
from edgeprune.pipeline.stage import Findings

NAME = "edgeprune.lock"
_SCHEMA = 1


def path_of(recipe: Recipe) -> Path:
    """Path of the lock of ``recipe``, which need not exist yet."""
    packaged = recipe.folder.is_relative_to(file_lookup.packaged("recipes").resolve())
    beside = not packaged and ((recipe.folder / NAME).is_file() or os.access(recipe.folder, os.W_OK))
    return (recipe.folder if beside else Path.cwd()) / NAME


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
    """The findings of one recipe.

    Args:
        path: Of the file, which need not be there; None: nothing is kept.
        recipe: Name.
        update: Ignore the findings in the file and measure again; unknown keys and values are dropped.

    Raises:
        RecipeError: The file is damaged, is of a newer schema, or has a key or value that is not known.
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
        self._found: dict[str, Any] = {} if update else section
        self._new: dict[tuple[str, ...], dict[str, Any]] = {}

    def get(self, *table: str) -> Mapping[str, Any]:
        """The findings in ``table``: ``training``, or ``targets`` and the name of one."""
        found: dict[str, Any] = self._found
        for name in table:
            found = found.get(name, {})
        return found

    def agrees(self, findings: Findings) -> bool:
        """Whether ``findings`` are those it has, as far as it has them."""
        return all(
            self.get(*table).get(name, value) == value
            for table, found in findings.items()
            for name, value in found.items()
        )

    def keep(self, findings: Findings) -> None:
        """Have ``save`` write ``findings``."""
        for table, found in findings.items():
            self._new.setdefault(table, {}).update(found)

    def save(self) -> None:
        """Write what is new, beside what the file says of other recipes and targets."""
        if self.path is None:
            return
        whole = self._read()
        text = _text(whole)
        if self._damaged_section:
            whole["recipes"][self._recipe] = {}
        for table, findings in self._new.items():
            inner = whole.setdefault("recipes", {})
            for name in (self._recipe, *table):
                inner = inner.setdefault(name, {})
            inner.update(findings)
        if _text(whole) != text and any(self._new.values()):
            files.write_atomic(self.path, _text({"schema": _SCHEMA, **whole}))

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
            raise self._damaged("it is not a table with a schema")
        schema = values.get("schema")
        if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
            raise self._damaged("its key 'schema' must be a whole number from 1")
        if schema > _SCHEMA:
            raise RecipeError(
                f"{self.path} has schema {values['schema']}; this EdgePrune reads up to {_SCHEMA}: use a newer one"
            )
        recipes = values.get("recipes", {})
        if not isinstance(recipes, dict) or not all(isinstance(section, dict) for section in recipes.values()):
            raise self._damaged("recipes is no table of tables")
        return values

    def _problem(self, section: Mapping[str, Any]) -> str | None:
        """Message about unknown keys and values in ``section``; None without any."""
        try:
            validate(_Section, section, where=f"recipe {self._recipe} of {self.path}", error=RecipeError)
        except RecipeError as problem:
            return str(problem)
        return None

    def _damaged(self, why: str) -> RecipeError:
        return RecipeError(f"{self.path} is no lock of EdgePrune ({why}): restore it, or remove it to measure anew")


def _text(whole: Mapping[str, Any]) -> str:
    return json.dumps(whole, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
