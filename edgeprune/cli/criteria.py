"""``edgeprune criteria``: what can score the units of a network."""

from __future__ import annotations

import click

from edgeprune.cli.members import print_all, print_one, told
from edgeprune.cli.output import json_option


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
    from edgeprune.criteria import Criterion, find, registered

    if name is not None:
        one = told(name, kind := find(name), Criterion, needs=kind.needs)
        print_one(one, f"looks at {one['needs']}", as_json=as_json)
        return
    found = [told(name, kind, Criterion, needs=kind.needs) for name, kind in registered().items()]
    print_all(found, {"name": "criterion", "needs": "needs", "description": "what it is"}, as_json=as_json)
