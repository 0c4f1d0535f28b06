"""``edgeprune schedules``: list the schedules that combine pruning and training."""

from __future__ import annotations

import click

from edgeprune.cli.command_groups import ListingGroup
from edgeprune.cli.console_output import json_option
from edgeprune.cli.registry_listing import Listing


@click.group("schedules", cls=ListingGroup, invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the schedules that combine pruning and training, or show one.

    They are values of 'schedule.name' in a recipe, and of --schedule.

    \b
    Example:
      edgeprune schedules
      edgeprune schedules gradual
      edgeprune build --schedule iterative --set schedule.rounds=5
    """
    context.obj = as_json
    if context.invoked_subcommand is None:
        context.invoke(command.commands["list"])


Listing(
    command="schedules",
    package="edgeprune.schedules",
    base="Schedule",
    fact="starts",
    columns=("schedule", "network", "description"),
    remark="for a {} network",
    sample="gradual",
).add_commands(command)
