"""``edgeprune criteria``: list the importance scores of units."""

from __future__ import annotations

import click

from edgeprune.cli.command_groups import ListingGroup
from edgeprune.cli.console_output import json_option
from edgeprune.cli.registry_listing import Listing


@click.group("criteria", cls=ListingGroup, invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the criteria that score the units of a network, or show one.

    They are values of 'prune.criterion' in a recipe, and of --criterion.

    \b
    Example:
      edgeprune criteria
      edgeprune criteria apoz
      edgeprune build --criterion random
    """
    context.obj = as_json
    if context.invoked_subcommand is None:
        context.invoke(command.commands["list"])


Listing(
    command="criteria",
    package="edgeprune.criteria",
    base="Criterion",
    fact="needs",
    columns=("criterion", "needs", "description"),
    remark="uses {}",
    sample="fisher",
).add_commands(command)
