"""The commands ``list`` and ``show`` of ``edgeprune criteria`` and ``edgeprune schedules``."""

from __future__ import annotations

import difflib
import importlib
import json
from dataclasses import dataclass
from typing import Any

import click

from edgeprune.cli.console_output import echo, json_option, print_json, print_table, print_text
from edgeprune.errors import InputError

_ARGUMENT_INDENT = 4
"""Indent of the arguments in a docstring, in characters."""


@dataclass(frozen=True)
class Listing:
    """A registry of classes and how it is shown.

    Attributes:
        command: Name of the command, such as "criteria".
        package: Dotted name of the package that holds the registry.
        base: Name of the class that all members derive from.
        fact: Class attribute that is shown beside the description, such as "needs".
        columns: Heads of the table for name, fact and description.
        remark: Text with ``{}`` for the fact, behind the name of a member that is shown alone.
    """

    command: str
    package: str
    base: str
    fact: str
    columns: tuple[str, str, str]
    remark: str

    def members(self) -> list[dict[str, Any]]:
        """All members by name; nothing is imported."""
        from edgeprune.cli.static_registry import static_members

        return [
            self._described(name, one.facts[self.fact], one.documentation, one.options)
            for name, one in static_members(self.package, self.base).items()
        ]

    def member(self, name: str) -> dict[str, Any]:
        """The member called ``name``, or the user's own class ``module:Class`` or ``file.py:Class``.

        Raises:
            InputError: There is none (names the nearest), or the class does not derive from the base.
        """
        if ":" in name:
            from edgeprune.model.registry import documentation, options_of

            package = importlib.import_module(self.package)
            kind = package.find(name)
            text = documentation(kind, getattr(package, self.base))
            return self._described(name, getattr(kind, self.fact), text, options_of(kind))
        members = {one["name"]: one for one in self.members()}
        if name not in members:
            near = difflib.get_close_matches(name, members, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            known = ", ".join(members)
            raise InputError(f"{self.command}: no '{name}'; there are {known}, or module:Class of your own{hint}")
        return members[name]

    def add_commands(self, group: click.Group) -> None:
        """Add ``list`` and ``show`` to ``group``."""

        @group.command("list")
        @json_option
        @click.pass_obj
        def list_members(json_before: bool, as_json: bool = False) -> None:
            members = self.members()
            if as_json or json_before:
                print_json(members)
            else:
                rows = [(one["name"], one[self.fact], _plain(one["description"])) for one in members]
                print_table(self.columns, rows)
                print_text(f"'edgeprune {self.command} NAME' shows formula, source and options of one.")

        @group.command("show")
        @click.argument("name")
        @json_option
        @click.pass_obj
        def show(json_before: bool, name: str, as_json: bool) -> None:
            one = self.member(name)
            if as_json or json_before:
                print_json(one)
                return
            echo(f"{name} ({self.remark.format(one[self.fact])})\n")
            for paragraph in one["documentation"].split("\n\n"):
                for item in _items(_plain(paragraph)):
                    print_text(item, indent=2 * _ARGUMENT_INDENT if item[0] == " " else 2 if item[0] == "-" else 0)
                echo()
            for option, default in one["options"].items():
                echo(f"{option} = {json.dumps(default)}")

        list_members.help = f"List all.\n\n\b\nExample:\n  edgeprune {self.command} list --json"
        show.help = (
            "Show formula, source and options of one; NAME is one of the list, or your own: module:Class or "
            f"file.py:Class.\n\n\b\nExample:\n  edgeprune {self.command} show NAME"
        )

    def _described(self, name: str, fact: str, documentation: str, options: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": name,
            self.fact: fact,
            "description": documentation.partition("\n")[0],
            "options": options,
            "documentation": documentation,
        }


def _plain(text: str) -> str:
    """Text of a docstring with the code in it between single backticks."""
    return text.replace("``", "`")


def _items(paragraph: str) -> list[str]:
    """The items of a paragraph, the lines of each joined.

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
