"""``edgeprune criteria``: what can score the units of a network."""

from __future__ import annotations

import click

from edgeprune.cli.output import json_option, print_json, print_table


@click.command("criteria")
@json_option
def command(as_json: bool) -> None:
    """List what can score the units of a network, for 'prune.criterion' and --criterion.

    \b
    Example:
      edgeprune criteria
      edgeprune build --criterion random
    """
    from edgeprune.criteria import registered

    found = [
        {"name": name, "description": (criterion.__doc__ or "").strip().partition("\n")[0]}
        for name, criterion in registered().items()
    ]
    if as_json:
        print_json(found)
    else:
        print_table(("criterion", "what it is"), [(one["name"], one["description"]) for one in found])
