"""``edgeprune lint``: what keeps a TFLite file from running, or from running well, on microcontrollers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli.console_output import echo, json_option, print_json, print_table
from edgeprune.errors import ModelError

if TYPE_CHECKING:
    from edgeprune.backends.tflm.linting import BoardFit, LintReport


@click.command("lint")
@click.argument("path", metavar="MODEL.tflite", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--target", "targets", multiple=True, metavar="NAME", help="A board on which it must fit; may be repeated."
)
@json_option
def command(path: Path, targets: tuple[str, ...], as_json: bool) -> int:
    """Check a TFLite file of any origin for microcontrollers, and tell which boards it fits.

    The arena is that of TFLite Micro's own allocator, with its pointers restated at 32 bits and CMSIS-NN's scratch
    buffers added; flash is the image of the firmware: both estimated. The exit code is 3 where the
    file cannot run, or does not fit a board that is named.

    \b
    Example:
      edgeprune lint model.tflite
      edgeprune lint model.tflite --target nucleo-l4r5zi --json
    """
    from edgeprune.backends.tflm.linting import lint

    report = lint(path, targets)
    if as_json:
        print_json(_as_json(report))
    else:
        _print(report)
    return ModelError.exit_code if report.errors else 0


def _as_json(report: LintReport) -> dict[str, Any]:
    found, arena = report.footprint, None
    if found is not None:
        extra = {"restated_for_32_bit": found.arena.restated_for_32_bit, "scratch_bytes": found.scratch_bytes}
        arena = {**asdict(found.arena), **extra, "peak": None if found.peak is None else asdict(found.peak)}
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

    found = report.footprint
    if found is not None:
        echo(f"arena: {found.arena.total_bytes:,} bytes, measured on this host")
        echo(f"       {found.arena_bytes:,} with 32-bit pointers and CMSIS-NN's scratch buffers, estimated")
        if found.peak is not None:
            echo(f"peak:  {found.peak.bytes:,} of activations, at {found.peak.operator} {shortened(found.peak.name)}")
    if report.findings:
        print_table(
            ("", "what", "where", "why", "way out"),
            [(one.level, one.code, one.where, one.message, one.remedy) for one in report.findings],
        )
    else:
        echo("nothing to complain of")
    print_table(
        ("board", "arena", "RAM for it", "file and code", "flash for it", "fits"),
        [_row(fit) for fit in report.boards],
        right=("arena", "RAM for it", "file and code", "flash for it"),
    )


def _row(fit: BoardFit) -> tuple[str, ...]:
    arena = "-" if fit.arena_bytes is None else f"{fit.arena_bytes:,}"
    missing = [name for name, kept in (("arena", fit.arena_fits), ("flash", fit.flash_fits)) if not kept]
    return (
        fit.board, arena, f"{fit.arena_limit:,}", f"{fit.flash_bytes:,}", f"{fit.flash_limit:,}",
        "yes" if fit.fits else f"no: {', '.join(missing)}",
    )  # fmt: skip
