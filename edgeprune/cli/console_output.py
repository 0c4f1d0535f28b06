"""Output of commands: JSON alone on stdout, or text and tables for people."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli import github_actions
from edgeprune.safe_text import printable, printable_json

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, Group
    from rich.segment import Segment
    from rich.table import Table

_PIPE_WIDTH = 160
_PIPE_TEXT_WIDTH = 80
_LONGEST_WORD = 20

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout."
)


def print_error(message: str) -> None:
    """Say on stderr what went wrong; on GitHub Actions as an annotation as well."""
    echo(f"error: {message}", err=True)
    github_actions.annotate(message)


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
        is_number = name in right
        table.add_column(name, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    for row in rows:
        table.add_row(*row)
    print_rich(table)


def print_text(text: str, indent: int = 0) -> None:
    """Print text on stdout, wrapped to the terminal or ``COLUMNS``; a pipe or a file gets lines of up to 80 characters.

    Lines after the first are indented by ``indent``.
    """
    console = _console()
    width = console.width if _has_width(console) else _PIPE_TEXT_WIDTH
    for line in text.splitlines():
        options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
        echo(textwrap.fill(line, width, subsequent_indent=" " * indent, **options))


def print_rich(renderable: Any) -> None:
    """Print something of rich on stdout; a pipe or a file gets lines of up to 160 characters, or ``COLUMNS``.

    A table that is too wide loses its padding first; one that is still too wide is printed as one block a row, so that
    no cell is cut.
    """
    from rich.table import Table

    console = _console()
    if isinstance(renderable, Table) and _least_width(renderable) > console.width:
        renderable.padding = (0, 1, 0, 0)
        if _least_width(renderable) > console.width:
            renderable = _stacked(renderable)
    console.print(_Printable(renderable))


def _console() -> Console:
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    return console if _has_width(console) else Console(highlight=False, markup=False, width=_PIPE_WIDTH)


def _has_width(console: Console) -> bool:
    """Whether lines have a given width: that of a terminal, or ``COLUMNS``."""
    return console.is_terminal or "COLUMNS" in os.environ


def _least_width(table: Table) -> int:
    """Characters that a table needs so that no cell of its unwrapped columns is cut, and no word of the others."""
    _, after, _, before = table.padding
    total = 1 if table.box is not None else 0  # two edges, and a divider less than columns
    total -= 0 if table.pad_edge else before + after
    for column in table.columns:
        texts = [line for cell in (column.header, *column.cells) for line in str(cell).splitlines()]
        parts = texts if column.no_wrap else [word[:_LONGEST_WORD] for text in texts for word in text.split()]
        total += max(map(len, parts), default=0) + before + after + (table.box is not None)
    return total


def _stacked(table: Table) -> Group:
    """A table with one block a row: the first cell, below it head and text of the others that are not empty."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    heads = [str(column.header) for column in table.columns]
    blocks: list[Any] = [Text(str(table.title)), ""] if table.title else []
    for first, *others in zip(*(column.cells for column in table.columns), strict=True):
        blocks.append(Text(str(first)))
        lines = [f"{head}: {cell}" if head else str(cell) for head, cell in zip(heads[1:], others, strict=True) if cell]
        blocks += [Padding(Text(line), (0, 0, 0, 2)) for line in lines]
    if table.caption:
        blocks += ["", Text(str(table.caption))]
    return Group(*blocks)


class _Printable:
    """Something of rich, of whose text a terminal obeys nothing."""

    def __init__(self, renderable: Any) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for segment in console.render(self._renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
