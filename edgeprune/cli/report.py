"""``edgeprune report``: write the HTML report of a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from edgeprune.cli.console_output import echo, json_option, print_json
from edgeprune.cli.help_sections import Command
from edgeprune.overwrite_guard import HTML, check_output_file, files_of

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("report", cls=Command)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=_FILE,
    help="Output file.  [default: report.html in the bundle, or NAME-report.html next to NAME.tar.gz]",
)
@json_option
def command(bundle: Path, output: Path | None, as_json: bool) -> None:
    """Write the HTML report of a bundle again, for example after profiling.

    BUNDLE is the folder of a bundle, or its archive, which contains no measurements. The report is a single HTML file
    without scripts or external resources.

    \b
    Example:
      edgeprune report dist/digits-host
      edgeprune report dist/digits-host --output report.html --json
      edgeprune report dist/digits-host.tar.gz
    """
    from edgeprune.bundle.unpack import as_folder, is_archive, sibling_path

    if output is None and is_archive(bundle):
        output = sibling_path(bundle, "report.html")
    if output is not None:
        check_output_file(output, HTML, inputs=[file for file in files_of(bundle) if file.name != "report.html"])
    from edgeprune.bundle import measurements
    from edgeprune.files import write_atomic
    from edgeprune.report import report_page

    with as_folder(bundle) as folder:
        page = report_page.of_bundle(folder)
    path = output or bundle / report_page.NAME
    try:
        if output is None:
            measurements.replace(bundle, {report_page.NAME: page})
        else:
            write_atomic(output, page)
    except OSError as error:
        raise click.UsageError(f"cannot write {path}: {error.strerror}") from error
    if as_json:
        print_json({"report": str(path), "bytes": len(page.encode())})
    else:
        echo(f"written {path} ({len(page.encode()):,} bytes)")
