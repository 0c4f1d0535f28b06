"""What 'edgeprune criteria' and 'edgeprune schedules' share: a table of classes, or all that one of them says."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from edgeprune.cli.output import echo, print_json, print_table


def told(name: str, kind: type, base: type, **more: str) -> dict[str, Any]:
    """What a class derived from ``base`` says of itself, beside ``more``."""
    from edgeprune.model.registry import documentation, options_of

    text = documentation(kind, base)
    return {
        "name": name,
        **more,
        "description": text.partition("\n")[0],
        "options": options_of(kind),
        "documentation": text,
    }


def print_one(one: dict[str, Any], remark: str, *, as_json: bool) -> None:
    if as_json:
        print_json(one)
        return
    echo(f"{one['name']} ({remark})\n\n{one['documentation']}\n")
    for option, default in one["options"].items():
        echo(f"{option} = {json.dumps(default)}")


def print_all(members: Iterable[dict[str, Any]], columns: dict[str, str], *, as_json: bool) -> None:
    """``columns`` maps the keys to show to their heads."""
    members = list(members)
    if as_json:
        print_json(members)
    else:
        print_table(tuple(columns.values()), [tuple(one[key] for key in columns) for one in members])
