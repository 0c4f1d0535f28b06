"""``edgeprune compare``: decide whether a new bundle may replace an old one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from edgeprune.cli import github_actions
from edgeprune.cli.console_output import echo, json_option, print_json, print_rich
from edgeprune.cli.help_sections import Command
from edgeprune.overwrite_guard import XML, check_output_file, files_of

_PATH = click.Path(path_type=Path)


@click.command("compare", cls=Command, exit_codes=(4,))
@click.argument("base", type=_PATH)
@click.argument("new", type=_PATH)
@click.option(
    "--fail-on",
    "limits",
    multiple=True,
    metavar="KEY:+AMOUNT",
    help="Limit for one quantity: latency_ms.p50:+5%, file_bytes:+10KiB, accuracy:-0.5% (points); can be repeated. "
    "Without it, a significant loss of accuracy fails, and so does any cost that grows significantly by more than 1 %.",
)
@click.option(
    "--undecided",
    type=click.Choice(["fail", "pass"]),
    default="fail",
    help="Result if the 95 % interval of a change contains its --fail-on limit.",
)
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown, for a comment on a pull request.")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Also write JUnit XML to this file.")
@json_option
def command(
    base: Path,
    new: Path,
    *,
    limits: tuple[str, ...],
    undecided: Literal["fail", "pass"],
    as_markdown: bool,
    junit: Path | None,
    as_json: bool,
) -> None:
    """Compare two bundles, manifests or profiles of the same network and target.

    BASE and NEW are bundle folders, archives, or a manifest.json or profile.json alone. Each change has a 95 %
    interval. A --fail-on limit passes if the whole interval is within the limit, fails if the whole interval is beyond
    it, and is undecided if the interval contains it. Accuracy is compared sample by sample if both bundles were
    evaluated on the same samples. The exit code is 4 if a limit fails or, unless --undecided pass is given, is
    undecided.

    \b
    Example:
      edgeprune compare main/digits-host dist/digits-host
      edgeprune compare main.json branch.json --fail-on latency_ms.p50:+5%
      edgeprune compare main/digits-host dist/digits-host --junit compare.xml
    """
    if as_json and as_markdown:
        raise click.UsageError("give --json or --markdown, not both")
    from edgeprune.bundle.bundle_reader import read
    from edgeprune.errors import BudgetError, InputError
    from edgeprune.report import comparison_output
    from edgeprune.report.comparison import compare
    from edgeprune.report.regression_limits import RegressionLimit

    try:
        rules = [RegressionLimit.parse(limit) for limit in limits]
    except InputError as problem:
        raise click.BadParameter(str(problem), param_hint="--fail-on") from problem
    if junit is not None:
        check_output_file(junit, XML, inputs=[*files_of(base), *files_of(new)])
    comparison = compare(read(base), read(new), rules, undecided=undecided)
    if junit is not None:
        from edgeprune import files

        files.write_atomic(junit, comparison_output.junit(comparison))
    if as_json:
        print_json(comparison_output.as_json(comparison))
    elif as_markdown:
        echo(comparison_output.markdown(comparison), nl=False)
    else:
        print_rich(comparison_output.render(comparison))
    github_actions.summarise(lambda: comparison_output.markdown(comparison))
    if not comparison.passed:
        changes = {"regression": comparison.failed, "undecided": comparison.undecided}
        parts = [
            f"{kind}: {'; '.join(comparison_output.sentence(change, comparison.metric) for change in affected)}"
            for kind, affected in changes.items()
            if affected
        ]
        raise BudgetError("; ".join(parts))
