"""``edgeprune lint``: check a TFLite file for use on microcontrollers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli import completion
from edgeprune.cli.console_output import echo, json_option, print_json, print_table
from edgeprune.cli.help_sections import Command
from edgeprune.cli.progress_bar import bar
from edgeprune.errors import ModelError

if TYPE_CHECKING:
    from edgeprune.backends.tflm.linting import BoardFit, LintReport


@click.command("lint", cls=Command)
@click.argument("path", metavar="MODEL.tflite", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.targets,
    help="Board that the file must fit; can be repeated.",
)
@json_option
def command(path: Path, targets: tuple[str, ...], as_json: bool) -> int:
    """Check a TFLite file for microcontrollers, and print the boards that it fits.

    The file may come from any converter. The size of the arena is estimated with TFLite Micro's allocator, 32-bit
    pointers and CMSIS-NN's scratch buffers. The size of the flash is estimated for the complete firmware. The exit code
    is 3 if the file cannot run, or does not fit a board given with --target.

    \b
    Example:
      edgeprune lint model.tflite
      edgeprune lint model.tflite --target nucleo-l4r5zi --json
    """
    from edgeprune.backends.tflm.linting import lint

    with bar("lint"):
        report = lint(path, targets)
    if as_json:
        print_json(_as_json(report))
    else:
        _print(report)
    return ModelError.exit_code if report.errors else 0


def _as_json(report: LintReport) -> dict[str, Any]:
    footprint, arena = report.footprint, None
    if footprint is not None:
        extra = {"restated_for_32_bit": footprint.arena.restated_for_32_bit, "scratch_bytes": footprint.scratch_bytes}
        arena = {**asdict(footprint.arena), **extra, "peak": None if footprint.peak is None else asdict(footprint.peak)}
    return {
        "path": str(report.path),
        "file_bytes": report.file_bytes,
        "operators": dict(report.operators),
        "arena": arena,
        "findings": [{**asdict(finding), "where": finding.where} for finding in report.findings],
        "boards": [{**asdict(fit), "fits": fit.fits} for fit in report.boards],
        "ok": not report.errors,
    }


def _print(report: LintReport) -> None:
    operators = ", ".join(f"{count} {name}" for name, count in report.operators.items())
    echo(f"{report.path}: {report.file_bytes:,} bytes; {operators}")
    from edgeprune.backends.tflm.linting.finding import shortened

    footprint = report.footprint
    if footprint is not None:
        echo(f"arena: {footprint.arena.total_bytes:,} bytes, measured on this host")
        echo(f"       {footprint.arena_bytes:,} with 32-bit pointers and CMSIS-NN's scratch buffers, estimated")
        if footprint.peak is not None:
            peak = footprint.peak
            echo(f"peak:  {peak.bytes:,} of activations, at {peak.operator} {shortened(peak.name)}")
    if report.findings:
        print_table(
            ("", "problem", "location", "reason", "remedy"),
            [
                (finding.level, finding.code, finding.where, finding.message, finding.remedy)
                for finding in report.findings
            ],
        )
    else:
        echo("No problems found.")
    print_table(
        ("board", "arena", "RAM for it", "file and code", "flash for it", "fits"),
        [_row(fit) for fit in report.boards],
        right=("arena", "RAM for it", "file and code", "flash for it"),
    )


def _row(fit: BoardFit) -> tuple[str, ...]:
    arena = "-" if fit.arena_bytes is None else f"{fit.arena_bytes:,}"
    missing = [name for name, fits in (("arena", fit.arena_fits), ("flash", fit.flash_fits)) if not fits]
    return (
        fit.board, arena, f"{fit.arena_limit:,}", f"{fit.flash_bytes:,}", f"{fit.flash_limit:,}",
        "yes" if fit.fits else f"no: {', '.join(missing)}",
    )  # fmt: skip
