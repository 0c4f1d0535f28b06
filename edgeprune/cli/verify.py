"""``edgeprune verify``: verify a bundle against its manifest and signature."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from edgeprune.cli.console_output import echo, json_option, print_json
from edgeprune.cli.help_sections import Command
from edgeprune.cli.progress_bar import bar


@click.command("verify", cls=Command)
@click.argument("bundle", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--allowed-signers",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Require a signature by a signer in this file: lines of 'NAME KEY', see ssh-keygen(1).",
)
@json_option
def command(bundle: Path, allowed_signers: Path | None, as_json: bool) -> None:
    """Verify every byte of a bundle, and its signature.

    BUNDLE is a folder or a .tar.gz, which is not extracted. The exit code is 3 if files are changed, missing or not in
    the manifest, or if the bundle contains links or special files; the message names them. Without --allowed-signers, a
    signature is optional, but must be valid.

    \b
    Example:
      edgeprune verify dist/digits-host.tar.gz --allowed-signers allowed_signers
      edgeprune verify dist/digits-host --json
    """
    from edgeprune.bundle.bundle_paths import printable
    from edgeprune.bundle.verification import verify

    with bar("verify"):
        verified = verify(bundle, allowed_signers)
    if as_json:
        print_json(
            {
                "path": str(verified.path),
                "kind": verified.kind,
                "recipe": verified.manifest.recipe,
                "target": verified.manifest.target,
                "manifest_sha256": verified.manifest_sha256,
                "files": verified.files,
                "bytes": verified.bytes,
                "measured": list(verified.measured),
                "signer": None if verified.signer is None else asdict(verified.signer),
            }
        )
        return
    echo(f"{verified.path}: {printable(verified.manifest.recipe)} for {printable(verified.manifest.target)}")
    echo(f"verified  {verified.files} files, {verified.bytes:,} bytes; manifest {verified.manifest_sha256}")
    if verified.signer is None:
        echo("signed    no")
    elif verified.signer.principal is None:
        echo(f"signed    with {verified.signer.key}; give --allowed-signers to check the signer")
    else:
        echo(f"signed    by {verified.signer.principal}, with {verified.signer.key}")
