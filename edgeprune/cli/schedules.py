"""``edgeprune schedules``: when units can go."""

from __future__ import annotations

import click

from edgeprune.cli.members import print_all, print_one, told
from edgeprune.cli.output import json_option


@click.command("schedules")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List the ways to mix pruning and training, for 'schedule.name' and --schedule, or tell all of one.

    NAME is one of the list, or your own: module:Class or file.py:Class.

    \b
    Example:
      edgeprune schedules
      edgeprune schedules gradual
      edgeprune build --schedule iterative --set schedule.rounds=5
    """
    from edgeprune.schedules import Schedule, find, registered

    if name is not None:
        one = told(name, kind := find(name), Schedule, starts=kind.starts)
        print_one(one, f"for a {one['starts']} network", as_json=as_json)
        return
    found = [told(name, kind, Schedule, starts=kind.starts) for name, kind in registered().items()]
    print_all(found, {"name": "schedule", "starts": "network", "description": "what it is"}, as_json=as_json)
