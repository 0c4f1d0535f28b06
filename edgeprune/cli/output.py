"""What commands print: JSON alone on stdout, or text and tables for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from edgeprune.cli import workflow

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, and nothing else, on stdout."
)


def print_error(message: str) -> None:
    """Say on stderr what went wrong; on GitHub Actions as an annotation as well."""
    click.echo(f"error: {message}", err=True)
    workflow.annotate(message)


def print_json(value: Any) -> None:
    """Print ``value`` as JSON on stdout."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_settings(values: Mapping[str, Any], prefix: str = "") -> None:
    """Print settings one a line by dotted key, as ``--set`` takes them; those without a value are left out."""
    for name, value in values.items():
        if isinstance(value, dict):
            print_settings(value, f"{prefix}{name}.")
        elif value is not None:
            click.echo(f"{prefix}{name} = {json.dumps(value, ensure_ascii=False)}")


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
    console.print(renderable)
