"""Groups of commands, with suggestions for mistyped names and with an optional ``show``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgeprune.cli.help_sections import Command, HelpSections

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class SuggestingGroup(HelpSections, click.Group):
    """Group that suggests the closest command for an unknown one."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            import difflib

            names = self.list_commands(ctx)
            matches = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean '{matches[0]}'?" if matches else f"there are {', '.join(names)}"
            ctx.fail(f"no such command '{name}': {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write name and whole summary of each command."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(limit=200)) for name, one in commands if one is not None])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the options."""
        self.format_commands(ctx, formatter)
        HelpSections.format_options(self, ctx, formatter)


class ListingGroup(SuggestingGroup):
    """Group with ``list`` and ``show``, in which ``NAME`` alone means ``show NAME``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete commands, and the names that ``show`` accepts."""
        show = self.commands["show"]
        names = [item for argument in show.params for item in argument.shell_complete(ctx, incomplete)]
        options = incomplete.startswith("-")
        return [*super().shell_complete(ctx, incomplete), *([] if options else names)]
