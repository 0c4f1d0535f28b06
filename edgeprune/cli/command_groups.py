"""Groups of commands, with suggestions for mistyped names and with an optional ``show``."""

from __future__ import annotations

import click


class SuggestingGroup(click.Group):
    """Group that suggests the closest command for an unknown one."""

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


class ListingGroup(click.Group):
    """Group with ``list`` and ``show``, in which ``NAME`` alone means ``show NAME``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        return super().resolve_command(ctx, args)
