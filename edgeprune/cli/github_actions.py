"""Annotations and step summaries of a run on GitHub Actions; elsewhere nothing is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import click


def annotate(message: str, *, title: str = "edgeprune") -> None:
    """Show ``message`` as an error of the run; the runner reads it from stderr as from stdout, which may be JSON."""
    if os.environ.get("GITHUB_ACTIONS") == "true":
        click.echo(f"::error title={_escaped(title, ':,')}::{_escaped(message)}", err=True)


def summarise(markdown: Callable[[], str]) -> None:
    """Add what ``markdown`` gives to the summary of the step."""
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if file:
        with Path(file).open("a", encoding="utf-8") as summary:
            summary.write(markdown().rstrip("\n") + "\n\n")


def _escaped(text: str, more: str = "") -> str:
    """``text`` as a workflow command takes it, which is one line; in a property without ``more`` as well."""
    for character in "%\r\n" + more:  # the percent sign first
        text = text.replace(character, f"%{ord(character):02X}")
    return text
