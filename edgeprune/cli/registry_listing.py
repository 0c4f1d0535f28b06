"""Commands ``list`` and ``show`` of ``edgeprune criteria`` and ``edgeprune schedules``."""

from __future__ import annotations

import difflib
import importlib
import json
from dataclasses import dataclass
from typing import Any

import click

from edgeprune.cli import completion
from edgeprune.cli.console_output import echo, json_option, print_json, print_table, print_text
from edgeprune.errors import InputError

_ARGUMENT_INDENT = 4
"""Indent of the arguments in a docstring, in characters."""


@dataclass(frozen=True)
class Listing:
    """A registry of classes and the format of its listing.

    Attributes:
        command: Name of the command, such as "criteria".
        package: Dotted name of the package that holds the registry.
        base: Name of the class that all members derive from.
        fact: Class attribute that is shown next to the description, such as "needs".
        columns: Column headers for name, fact and description.
        remark: Text with ``{}`` for the fact, shown after the name by ``show``.
        sample: Name of a member, for the example in the help.
    """

    command: str
    package: str
    base: str
    fact: str
    columns: tuple[str, str, str]
    remark: str
    sample: str

    def members(self) -> list[dict[str, Any]]:
        """Return all members sorted by name, without importing them."""
        from edgeprune.cli.static_registry import static_members

        return [
            self._described(name, one.facts[self.fact], one.documentation, one.options)
            for name, one in static_members(self.package, self.base).items()
        ]

    def member(self, name: str) -> dict[str, Any]:
        """Return the member ``name``, or a user-defined class ``module:Class`` or ``file.py:Class``.

        Raises:
            InputError: The member does not exist (the message suggests the closest name), or the class does not derive
                from the base.
        """
        if ":" in name:
            from edgeprune.model.registry import documentation, options_of

            package = importlib.import_module(self.package)
            kind = package.find(name)
            text = documentation(kind, getattr(package, self.base))
            return self._described(name, getattr(kind, self.fact), text, options_of(kind))
        members = {one["name"]: one for one in self.members()}
        if name not in members:
            matches = difflib.get_close_matches(name, members, n=1)
            hint = f"; did you mean '{matches[0]}'?" if matches else ""
            available = ", ".join(members)
            raise InputError(
                f"{self.command}: got '{name}', must be one of {available}, or your own module:Class{hint}"
            )
        return members[name]

    def add_commands(self, group: click.Group) -> None:
        """Add the commands ``list`` and ``show`` to ``group``."""

        @group.command("list")
        @json_option
        @click.pass_obj
        def list_members(json_before: bool, as_json: bool = False) -> None:
            members = self.members()
            if as_json or json_before:
                print_json(members)
            else:
                rows = [(one["name"], one[self.fact], _single_backticks(one["description"])) for one in members]
                print_table(self.columns, rows)
                print_text(f"'edgeprune {self.command} NAME' shows the formula, source and options of one.")

        @group.command("show")
        @click.argument("name", shell_complete=getattr(completion, self.command))
        @json_option
        @click.pass_obj
        def show(json_before: bool, name: str, as_json: bool) -> None:
            one = self.member(name)
            if as_json or json_before:
                print_json(one)
                return
            echo(f"{name} ({self.remark.format(one[self.fact])})\n")
            for paragraph in one["documentation"].split("\n\n"):
                for item in _items(_single_backticks(paragraph)):
                    print_text(item, indent=2 * _ARGUMENT_INDENT if item[0] == " " else 2 if item[0] == "-" else 0)
                echo()
            for option, default in one["options"].items():
                echo(f"{option} = {json.dumps(default)}")

        list_members.help = f"List all.\n\n\b\nExample:\n  edgeprune {self.command} list --json"
        show.help = (
            "Show the formula, source and options of one.\n\nNAME is a name in the list, or your own module:Class or "
            f"file.py:Class.\n\n\b\nExample:\n  edgeprune {self.command} show {self.sample}"
        )

    def _described(self, name: str, fact: str, documentation: str, options: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": name,
            self.fact: fact,
            "description": documentation.partition("\n")[0],
            "options": options,
            "documentation": documentation,
        }


def _single_backticks(text: str) -> str:
    """Return the text of a docstring with single instead of double backticks."""
    return text.replace("``", "`")


def _items(paragraph: str) -> list[str]:
    """Split a paragraph into items, and join the lines of each item.

    An item starts with the first line, a dash, or a line that is indented like the one below "Args:".
    """
    items: list[str] = []
    for line in paragraph.splitlines():
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if not items or text.startswith("- ") or indent == _ARGUMENT_INDENT:
            items.append("Options:" if text == "Args:" else line)
        else:
            items[-1] += f" {text}"
    return items
