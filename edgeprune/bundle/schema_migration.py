"""Migration of manifests and report data of earlier schemas, so that old bundles remain readable.

1. Read the schema version of the JSON values.
2. Rename the keys that the next version renamed, and repeat until the version is the current one.

Values of unexpected types are returned unchanged; the validation after the migration reports them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_Migration = Callable[[Any], Any]


def migrate_manifest(values: Any) -> Any:
    """Return the JSON values of ``manifest.json`` in the current schema."""
    return _migrated(values, {1: _manifest_from_1})


def migrate_report(values: Any) -> Any:
    """Return the JSON values of ``report.json`` in the current schema."""
    return _migrated(values, {1: _report_from_1})


def _migrated(values: Any, migrations: Mapping[int, _Migration]) -> Any:
    while isinstance(values, dict):
        schema = values.get("schema")
        if type(schema) is not int or schema not in migrations:
            break
        values = {**migrations[schema](values), "schema": schema + 1}
    return values


def _manifest_from_1(values: Any) -> Any:
    parts = {
        "precision": _renaming(along="other_precisions"),
        "candidates": _each(_renaming(select="selection")),
        "pairs": _renaming(lost="only_dense", gained="only_shipped"),
    }
    return _renamed(_updated(values, parts), {"gates": "constraints"})


def _report_from_1(values: Any) -> Any:
    points = {"points": _each(_renaming(kept="remaining_units"))}
    curves = {"groups": _each(lambda curve: _updated(curve, points))}
    parts = {
        "asked": _renaming(select="selection"),
        "groups": _each(_renaming(left="remaining_units", kept="remaining_scores", removed="removed_scores")),
        "sensitivity": lambda sensitivity: _updated(sensitivity, curves),
        "epochs": _each(_renaming(stretch="phase")),
    }
    return _renamed(_updated(values, parts), {"asked": "settings", "forms": "variants"})


def _updated(values: Any, changes: Mapping[str, _Migration]) -> Any:
    """Return ``values`` with the change of each key applied to its value."""
    if not isinstance(values, dict):
        return values
    return {key: changes[key](value) if key in changes else value for key, value in values.items()}


def _renamed(values: Any, names: Mapping[str, str]) -> Any:
    """Return ``values`` with new names for some keys."""
    return {names.get(key, key): value for key, value in values.items()} if isinstance(values, dict) else values


def _renaming(**names: str) -> _Migration:
    return lambda values: _renamed(values, names)


def _each(change: _Migration) -> _Migration:
    return lambda values: [change(value) for value in values] if isinstance(values, list) else values
