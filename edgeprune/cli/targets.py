"""``edgeprune targets``: list and show targets."""

from __future__ import annotations

import click

from edgeprune.cli import completion
from edgeprune.cli.command_groups import ListingGroup
from edgeprune.cli.console_output import json_option, print_json, print_settings, print_table


@click.group("targets", cls=ListingGroup, invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the targets, or show one.

    \b
    Example:
      edgeprune targets
      edgeprune targets raspberry-pi-4
    """
    context.obj = as_json
    if context.invoked_subcommand is None:
        context.invoke(list_targets)


@command.command("list")
@json_option
@click.pass_obj
def list_targets(json_before: bool, as_json: bool = False) -> None:
    """List the targets of the working folder and the packaged ones.

    \b
    Example:
      edgeprune targets list --json
    """
    from edgeprune.config import Target

    targets = [Target.load(path) for path in Target.available().values()]
    if as_json or json_before:
        print_json([target.model_dump(mode="json") for target in targets])
        return
    rows = [(target.name, ", ".join(target.aliases), target.description) for target in targets]
    print_table(("target", "aliases", "description"), rows)


@command.command("show")
@click.argument("target", shell_complete=completion.targets)
@json_option
@click.pass_obj
def show(json_before: bool, target: str, as_json: bool) -> None:
    """Show one target with every default filled in.

    \b
    Example:
      edgeprune targets show raspberry-pi-4
    """
    from edgeprune import backends
    from edgeprune.config import Target

    target_config = Target.load(target)
    backends.for_target(target_config)
    if as_json or json_before:
        print_json(target_config.model_dump(mode="json"))
    else:
        print_settings(target_config.model_dump(mode="json"))
