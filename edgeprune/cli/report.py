"""``edgeprune report``: draw the report of a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from edgeprune.cli.console_output import echo, json_option, print_json
from edgeprune.overwrite_guard import HTML, check_output_file, files_of

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("report")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=_FILE,
    help="File to write; default: report.html in the bundle, or NAME-report.html beside NAME.tar.gz.",
)
@json_option
def command(bundle: Path, output: Path | None, as_json: bool) -> None:
    """Draw the report of a bundle again, such as after it was profiled on its device.

    BUNDLE is the folder of a bundle, or its archive, which holds no measurements. The page is one file for a browser.
    It has no scripts and loads nothing.

    \b
    Example:
      edgeprune report dist/digits-host
      edgeprune report dist/digits-host --output report.html --json
      edgeprune report dist/digits-host.tar.gz
    """
    from edgeprune.bundle.unpack import as_folder, beside, is_archive

    if output is None and is_archive(bundle):
        output = beside(bundle, "report.html")
    if output is not None:
        check_output_file(output, HTML, inputs=[file for file in files_of(bundle) if file.name != "report.html"])
    from edgeprune.bundle import measurements
    from edgeprune.files import write_atomic
    from edgeprune.report import report_page

    with as_folder(bundle) as folder:
        drawn = report_page.of_bundle(folder)
    path = output or bundle / report_page.NAME
    try:
        if output is None:
            measurements.replace(bundle, {report_page.NAME: drawn})
        else:
            write_atomic(output, drawn)
    except OSError as error:
        raise click.UsageError(f"cannot write {path}: {error.strerror}") from error
    if as_json:
        print_json({"report": str(path), "bytes": len(drawn.encode())})
    else:
        echo(f"written {path} ({len(drawn.encode()):,} bytes)")
