"""``edgeprune sign``: sign a bundle with an SSH key."""

from __future__ import annotations

from pathlib import Path

import click

from edgeprune.cli.console_output import echo, json_option, print_json
from edgeprune.cli.help_sections import Command


@click.command("sign", cls=Command)
@click.argument("bundle", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--key",
    required=True,
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Private SSH key, or the public key if the SSH agent has the private one.",
)
@json_option
def command(bundle: Path, key: Path, as_json: bool) -> None:
    """Sign a bundle with an SSH key, after verifying its files.

    BUNDLE is a folder or a .tar.gz. The manifest is signed, which covers every file by its hash. The signature is
    written next to the manifest and next to the archive, whose bytes do not change.

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
