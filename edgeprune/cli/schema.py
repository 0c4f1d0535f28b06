"""``edgeprune schema``: print the JSON Schemas of recipes, targets and the JSON files of a bundle."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli.help_sections import Command

if TYPE_CHECKING:
    from pydantic import BaseModel

NAMES = ("recipe", "target", "manifest", "measured", "report")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)
"""Pattern of an attribute in a docstring: its name and its text, which may continue on indented lines."""


@click.command("schema", cls=Command)
@click.argument("name", type=click.Choice(NAMES), metavar="NAME")
def command(name: str) -> None:
    """Print the JSON Schema of a recipe, a target or a file of a bundle.

    NAME is recipe, target, manifest, measured or report. Recipes and targets are TOML files, which editors can validate
    and complete with their schemas. The others are files of a bundle: manifest.json, measured.json and report.json.

    \b
    Example:
      edgeprune schema recipe > recipe.schema.json
    """
    from edgeprune.cli.console_output import print_json

    print_json(json_schema(name))


def json_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the file ``name``, one of ``NAMES``."""
    from edgeprune.bundle.manifest import Manifest
    from edgeprune.bundle.measurements import Measurements
    from edgeprune.bundle.report_data import ReportData
    from edgeprune.config import Recipe, Target

    models: dict[str, type[BaseModel]] = {
        "recipe": Recipe,
        "target": Target,
        "manifest": Manifest,
        "measured": Measurements,
        "report": ReportData,
    }
    schema = models[name].model_json_schema()
    if name == "recipe":  # set by the reader of the file, not by the file
        del schema["properties"]["folder"]
    for part in (schema, *schema["$defs"].values()):
        _describe_properties(part)
    return {"$schema": _DIALECT, **schema}


def _describe_properties(part: dict[str, Any]) -> None:
    """Move the attribute docs of a docstring from an object to its properties, where editors show them."""
    summary, _, attributes = part.get("description", "").partition("\n\nAttributes:\n")
    if not attributes:
        return
    part["description"] = summary
    for name, text in _ATTRIBUTE.findall(attributes):
        if name in part["properties"]:
            part["properties"][name]["description"] = " ".join(text.split())
