"""``edgeprune criteria``: what can score the units of a network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from edgeprune.criteria import Criterion


@click.command("criteria")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List what can score the units of a network, for 'prune.criterion' and --criterion, or tell all of one.

    NAME is one of the list, or your own: module:Class or file.py:Class.

    \b
    Example:
      edgeprune criteria
      edgeprune criteria apoz
      edgeprune build --criterion random
    """
    from edgeprune.criteria import find, registered

    if name is not None:
        told = _told(name, find(name))
        if as_json:
            print_json(told)
        else:
            _print_one(told)
        return
    found = [_told(name, criterion) for name, criterion in registered().items()]
    if as_json:
        print_json(found)
    else:
        columns = ("criterion", "needs", "what it is")
        print_table(columns, [(one["name"], one["needs"], one["description"]) for one in found])


def _told(name: str, criterion: type[Criterion]) -> dict[str, Any]:
    from edgeprune.criteria import documentation, options_of

    text = documentation(criterion)
    return {
        "name": name,
        "needs": criterion.needs,
        "description": text.partition("\n")[0],
        "options": options_of(criterion),
        "documentation": text,
    }


def _print_one(told: dict[str, Any]) -> None:
    click.echo(f"{told['name']} (looks at {told['needs']})\n\n{told['documentation']}\n")
    for option, default in told["options"].items():
        click.echo(f"{option} = {json.dumps(default)}")
