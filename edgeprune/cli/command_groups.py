"""Groups of commands: suggestions for mistyped names, and listings whose members need no ``show``."""

from __future__ import annotations

import click


class SuggestingGroup(click.Group):
    """A group that suggests the nearest command for an unknown one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            import difflib

            names = self.list_commands(ctx)
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(names)}"
            ctx.fail(f"no such command '{name}': {hint}")
        return super().resolve_command(ctx, args)


class ListingGroup(click.Group):
    """A group with ``list`` and ``show``, in which ``NAME`` alone means ``show NAME``."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not args[0].startswith("-"):
            args = ["show", *args]
        return super().resolve_command(ctx, args)
