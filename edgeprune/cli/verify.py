"""``edgeprune verify``: whether a bundle is what its manifest says, and who signed it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from edgeprune.cli.console_output import echo, json_option, print_json


@click.command("verify")
@click.argument("bundle", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--allowed-signers",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Who may have signed it, as ssh-keygen(1) writes it: 'NAME KEY' a line. Then it must be signed.",
)
@json_option
def command(bundle: Path, allowed_signers: Path | None, as_json: bool) -> None:
    """Account for every byte of a bundle: a folder, or its .tar.gz, of which nothing is extracted.

    Files that were changed, are missing or extra, links and everything else that a bundle has not end with exit code 3,
    and are named. Without --allowed-signers a signature that is there must be over this bundle, whoever made it.

    \b
    Example:
      edgeprune verify dist/digits-host.tar.gz --allowed-signers allowed_signers
      edgeprune verify dist/digits-host --json
    """
    from edgeprune.bundle.bundle_paths import shown
    from edgeprune.bundle.verification import verify

    found = verify(bundle, allowed_signers)
    if as_json:
        print_json(
            {
                "path": str(found.path),
                "kind": found.kind,
                "recipe": found.manifest.recipe,
                "target": found.manifest.target,
                "manifest_sha256": found.manifest_sha256,
                "files": found.files,
                "bytes": found.bytes,
                "measured": list(found.measured),
                "signer": None if found.signer is None else asdict(found.signer),
            }
        )
        return
    echo(f"{found.path}: {shown(found.manifest.recipe)} for {shown(found.manifest.target)}")
    echo(f"whole     {found.files} files, {found.bytes:,} bytes; manifest {found.manifest_sha256}")
    if found.signer is None:
        echo("signed    no")
    elif found.signer.principal is None:
        echo(f"signed    with {found.signer.key}; by whom, --allowed-signers tells")
    else:
        echo(f"signed    by {found.signer.principal}, with {found.signer.key}")
