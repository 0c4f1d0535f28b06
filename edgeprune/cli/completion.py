"""Completion of names in shells: recipes, targets, criteria, selections and schedules.

Completion runs at each press of the key, so names are read from file names and source files, without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click
    from click.shell_completion import CompletionItem

Completer = Callable[["click.Context", "click.Parameter", str], "list[CompletionItem]"]


def _completed(
    names: Callable[[], Iterable[str]], _context: object, _option: object, text: str
) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    matches = [CompletionItem(name) for name in sorted(names()) if name.startswith(text)]
    return matches or [CompletionItem(text, type="file")]  # a file, or file.py:Class


def _recipes() -> Iterable[str]:
    from edgeprune.config import file_lookup

    return {file.parent.name for folder in file_lookup.folders("recipes") for file in folder.glob("*/recipe.toml")}


def _targets() -> Iterable[str]:
    from edgeprune.config import file_lookup

    return {file.stem for folder in file_lookup.folders("targets") for file in folder.glob("*.toml")}


def _registered(package: str, base: str) -> Iterable[str]:
    from edgeprune.cli.static_registry import static_members

    return static_members(f"edgeprune.{package}", base)


recipes: Completer = partial(_completed, _recipes)
targets: Completer = partial(_completed, _targets)
criteria: Completer = partial(_completed, partial(_registered, "criteria", "Criterion"))
selections: Completer = partial(_completed, partial(_registered, "selection", "Selection"))
schedules: Completer = partial(_completed, partial(_registered, "schedules", "Schedule"))
