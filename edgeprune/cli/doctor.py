"""``edgeprune doctor``: what works on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from edgeprune.cli.console_output import echo, json_option, print_json
from edgeprune.errors import InputError

if TYPE_CHECKING:
    from edgeprune.doctor import CheckResult, Finding

_MARKS = {"ok": "ok", "absent": "--", "bad": "!!"}
_STYLES = {"ok": "green", "absent": "bright_black", "bad": "red"}


@click.command("doctor")
@json_option
def command(as_json: bool) -> None:
    """Tell what is installed, which targets and devices work here, and the line that fixes what does not.

    Marks: ok; -- is not here, and not everyone needs it; !! does not work. Nothing is changed or installed. Ends with 0
    if builds work on this machine, whatever else is missing, and with 3 if they do not.

    \b
    Example:
      edgeprune doctor
      edgeprune doctor --json
    """
    from edgeprune.doctor import examine

    examined = examine()
    broken = [one.name for part in examined for one in part.findings if one.needed and one.state != "ok"]
    if as_json:
        print_json({"ok": not broken, "sections": [asdict(part) for part in examined]})
    else:
        for part in examined:
            _show(part)
    if broken:
        raise InputError(f"builds do not work here: {', '.join(broken)}; 'fix' above has the line for each")


def _show(part: CheckResult) -> None:
    click.echo(click.style(part.title, bold=True))
    width = max((len(one.name) for one in part.findings), default=0)
    for one in part.findings:
        _show_finding(one, width)
    echo()


def _show_finding(one: Finding, width: int) -> None:
    mark = click.style(_MARKS[one.state], fg=_STYLES[one.state])
    click.echo(f"  {mark}  ", nl=False)
    echo(f"{one.name:<{width}}  {one.detail}")
    if one.fix is not None:
        echo(f"      {'':<{width}}  fix: {one.fix}")
