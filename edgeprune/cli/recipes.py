"""``edgeprune recipes``: list and show recipes."""

from __future__ import annotations

import click

from edgeprune.cli import completion
from edgeprune.cli.command_groups import ListingGroup
from edgeprune.cli.console_output import json_option, print_json, print_settings, print_table


@click.group("recipes", cls=ListingGroup, invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the recipes, or show one.

    \b
    Example:
      edgeprune recipes
      edgeprune recipes digits
    """
    context.obj = as_json
    if context.invoked_subcommand is None:
        context.invoke(list_recipes)


@command.command("list")
@json_option
@click.pass_obj
def list_recipes(json_before: bool, as_json: bool = False) -> None:
    """List the recipes of the working folder and the packaged ones.

    \b
    Example:
      edgeprune recipes list --json
    """
    from edgeprune.config import Recipe

    recipes = [Recipe.load(path) for path in Recipe.available().values()]
    if as_json or json_before:
        print_json([recipe.model_dump(mode="json") for recipe in recipes])
        return
    print_table(("recipe", "description"), [(recipe.name, recipe.description) for recipe in recipes])


@command.command("show")
@click.argument("recipe", shell_complete=completion.recipes)
@json_option
@click.pass_obj
def show(json_before: bool, recipe: str, as_json: bool) -> None:
    """Show one recipe with every default filled in.

    \b
    Example:
      edgeprune recipes show digits
    """
    from edgeprune.config import Recipe

    recipe_config = Recipe.load(recipe)
    if as_json or json_before:
        print_json(recipe_config.model_dump(mode="json"))
    else:
        print_settings(recipe_config.model_dump(mode="json"))
