"""What commands print: JSON alone on stdout, or text and tables for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli import workflow
from edgeprune.printable import printable, printable_json

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.segment import Segment

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout."
)


def print_error(message: str) -> None:
    """Say on stderr what went wrong; on GitHub Actions as an annotation as well."""
    echo(f"error: {message}", err=True)
    workflow.annotate(message)


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text on stdout or stderr; what a terminal could obey is escaped, as names and answers come from others."""
    click.echo(printable(text), err=err, nl=nl)


def print_warning(message: str) -> None:
    """Print a highlighted warning on stdout."""
    from rich.text import Text

    print_rich(Text(printable(f"warning: {message}"), style="bold yellow"))


def print_json(value: Any) -> None:
    """Print ``value`` as JSON on stdout."""
    click.echo(printable_json(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)))


def print_settings(values: Mapping[str, Any], prefix: str = "") -> None:
    """Print settings one a line by dotted key, as ``--set`` takes them; those without a value are left out."""
    for name, value in values.items():
        if isinstance(value, dict):
            print_settings(value, f"{prefix}{name}.")
        elif value is not None:
            echo(f"{prefix}{name} = {json.dumps(value, ensure_ascii=False)}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a plain table; the columns named in ``right`` are aligned to the right."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(box=SIMPLE, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    print_rich(table)


def print_rich(renderable: Any) -> None:
    """Print something of rich on stdout; a pipe or a file gets lines of any length."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, width=160)
    console.print(_Printable(renderable))


class _Printable:
    """Something of rich, of whose text a terminal obeys nothing."""

    def __init__(self, renderable: Any) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for segment in console.render(self._renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
