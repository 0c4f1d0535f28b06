"""Annotations and step summaries on GitHub Actions; nothing is written on other systems."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click


def annotate(message: str, *, title: str = "edgeprune") -> None:
    """Show ``message`` as an error of the run, through stderr because stdout may be JSON."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        click.echo(f"::error title={_escaped(title, ':,')}::{_escaped(message)}", err=True)


def summarise(markdown: Callable[[], str]) -> None:
    """Append the text that ``markdown`` returns to the summary of the step."""
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if file:
        with Path(file).open("a", encoding="utf-8") as summary:
            summary.write(markdown().rstrip("\n") + "\n\n")


def _escaped(text: str, more: str = "") -> str:
    """Escape ``text`` for a workflow command, which is one line.

    Args:
        text: Text to escape.
        more: Additional characters to escape, for the value of a property.
    """
    for character in "%\r\n" + more:  # the percent sign first
        text = text.replace(character, f"%{ord(character):02X}")
    return text
