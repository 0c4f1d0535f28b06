"""Output of commands: JSON, or text and tables."""

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

json_option: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Print only JSON on stdout.")


def print_error(message: str) -> None:
    """Print an error on stderr, and annotate the run on GitHub Actions."""
    echo(f"error: {message}", err=True)
    github_actions.annotate(message)


def echo(text: str = "", *, err: bool = False, nl: bool = True) -> None:
    """Print text on stdout or stderr, with control characters escaped because parts of it may be untrusted."""
    click.echo(printable(text), err=err, nl=nl)


def print_warning(message: str) -> None:
    """Print a highlighted warning on stdout."""
    from rich.text import Text

    print_rich(Text(printable(f"warning: {message}"), style="bold yellow"))


def print_json(value: Any) -> None:
    """Print ``value`` as JSON on stdout."""
    click.echo(printable_json(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)))


def print_settings(values: Mapping[str, Any], prefix: str = "") -> None:
    """Print one setting per line with its dotted key, in the format of ``--set``, and omit settings without a value."""
    for name, value in values.items():
        if isinstance(value, dict):
            print_settings(value, f"{prefix}{name}.")
        elif value is not None:
            echo(f"{prefix}{name} = {json.dumps(value, ensure_ascii=False)}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print a table; the columns named in ``right`` are aligned to the right."""
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
    """Print text on stdout, wrapped to the width of the terminal or ``COLUMNS``, else to 80 characters.

    Continuation lines are indented by ``indent`` characters.
    """
    console = _console()
    width = console.width if _has_width(console) else _PIPE_TEXT_WIDTH
    for line in text.splitlines():
        options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
        echo(textwrap.fill(line, width, subsequent_indent=" " * indent, **options))


def print_rich(renderable: Any) -> None:
    """Print a renderable of rich on stdout, with lines of up to 160 characters if stdout is not a terminal.

    A table that is too wide is printed without padding. If it is still too wide, each row is printed as a block, so
    that no cell is truncated.
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
    """Return whether the width of lines is known from a terminal or ``COLUMNS``."""
    return console.is_terminal or "COLUMNS" in os.environ


def _least_width(table: Table) -> int:
    """Return the width of a table, in characters, at which no unwrapped cell and no word is truncated."""
    _, after, _, before = table.padding
    total = 1 if table.box is not None else 0  # two edges, and a divider less than columns
    total -= 0 if table.pad_edge else before + after
    for column in table.columns:
        texts = [line for cell in (column.header, *column.cells) for line in str(cell).splitlines()]
        parts = texts if column.no_wrap else [word[:_LONGEST_WORD] for text in texts for word in text.split()]
        total += max(map(len, parts), default=0) + before + after + (table.box is not None)
    return total


def _stacked(table: Table) -> Group:
    """Return a table with one block for each row: the first cell, and below it the other cells that are not empty."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    headers = [str(column.header) for column in table.columns]
    blocks: list[Any] = [Text(str(table.title)), ""] if table.title else []
    for first, *others in zip(*(column.cells for column in table.columns), strict=True):
        blocks.append(Text(str(first)))
        lines = [
            f"{header}: {cell}" if header else str(cell)
            for header, cell in zip(headers[1:], others, strict=True)
            if cell
        ]
        blocks += [Padding(Text(line), (0, 0, 0, 2)) for line in lines]
    if table.caption:
        blocks += ["", Text(str(table.caption))]
    return Group(*blocks)


class _Printable:
    """Renderable whose text has its control characters escaped."""

    def __init__(self, renderable: Any) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for segment in console.render(self._renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)
