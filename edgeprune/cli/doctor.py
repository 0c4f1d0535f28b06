"""``edgeprune doctor``: check the installation on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from edgeprune.cli.console_output import echo, json_option, print_json
from edgeprune.cli.help_sections import Command
from edgeprune.cli.progress_bar import bar
from edgeprune.errors import InputError

if TYPE_CHECKING:
    from edgeprune.doctor import CheckResult, Finding

_MARKS = {"ok": "ok", "absent": "--", "bad": "!!"}
_STYLES = {"ok": "green", "absent": "bright_black", "bad": "red"}


@click.command("doctor", cls=Command)
@json_option
def command(as_json: bool) -> None:
    """Check packages, targets and devices on this machine, and print a fix for each problem.

    Marks: 'ok' for a check that passed, '--' for an optional part that is missing, '!!' for a part that does not work.
    Nothing is changed or installed. The exit code is 0 if builds work on this machine, even if optional parts are
    missing, and 3 otherwise.

    \b
    Example:
      edgeprune doctor
      edgeprune doctor --json
    """
    from edgeprune.doctor import examine

    with bar("doctor") as progress:
        results = examine(progress=progress)
    broken = [
        finding.name for result in results for finding in result.findings if finding.needed and finding.state != "ok"
    ]
    if as_json:
        print_json({"ok": not broken, "sections": [asdict(result) for result in results]})
    else:
        for result in results:
            _show(result)
    if broken:
        raise InputError(f"builds cannot run because of {', '.join(broken)}: run the commands after 'fix' above")


def _show(result: CheckResult) -> None:
    click.echo(click.style(result.title, bold=True))
    width = max((len(finding.name) for finding in result.findings), default=0)
    for finding in result.findings:
        _show_finding(finding, width)
    echo()


def _show_finding(finding: Finding, width: int) -> None:
    mark = click.style(_MARKS[finding.state], fg=_STYLES[finding.state])
    click.echo(f"  {mark}  ", nl=False)
    echo(f"{finding.name:<{width}}  {finding.detail}")
    if finding.fix is not None:
        echo(f"      {'':<{width}}  fix: {finding.fix}")
