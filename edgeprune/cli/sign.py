"""``edgeprune sign``: sign a bundle with an SSH key."""

from __future__ import annotations

from pathlib import Path

import click

from edgeprune.cli.console_output import echo, json_option, print_json


@click.command("sign")
@click.argument("bundle", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--key",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The private SSH key, or the public one of a key that the agent has.",
)
@json_option
def command(bundle: Path, key: Path, as_json: bool) -> None:
    """Sign a bundle, a folder or its .tar.gz, with an SSH key; its bytes are accounted for first.

    The manifest is signed, and through its hashes every file. The signature lies beside it in the folder, and beside
    the archive, whose bytes stay as they are.

    \b
    Example:
      edgeprune sign dist/digits-host --key ~/.ssh/id_ed25519
      edgeprune sign dist/digits-host.tar.gz --key ~/.ssh/id_ed25519 --json
    """
    from edgeprune.bundle.verification import sign

    signed = sign(bundle, key.expanduser())
    if as_json:
        print_json({"signatures": [str(path) for path in signed]})
        return
    for path in signed:
        echo(f"written {path}")
