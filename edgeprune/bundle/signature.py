"""Signatures of bundles by ``ssh-keygen -Y``, with the SSH keys that people have.

The manifest is signed, and through its hashes every file. The same signature lies in the folder as
``manifest.json.sig`` and beside the archive as ``<name>.tar.gz.sig``, so the archive is the same bytes with and without
it. What was measured changes from run to run: ``measured.json`` has a signature of its own, and names the manifest that
it belongs to.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired

from edgeprune import subprocesses
from edgeprune.bundle import manifest as manifests
from edgeprune.bundle import measurements
from edgeprune.errors import BundleError

SUFFIX = measurements.SIGNED
NAMES = (f"{manifests.NAME}{SUFFIX}", f"{measurements.NAME}{SUFFIX}")
_NAMESPACES = {manifests.NAME: "edgeprune-manifest", measurements.NAME: "edgeprune-measured"}
_MOST_BYTES = 64 << 10
_TIMEOUT_S = 60.0
_ASKING_S = 600.0
"""A key may want its passphrase, or a touch."""
_KEY = re.compile(r"with (\S+) key (\S+)")


@dataclass(frozen=True)
class Signer:
    """Who signed.

    Attributes:
        principal: The name that the file of allowed signers has for the key; None where none was asked.
        key: Kind and fingerprint of the key.
    """

    principal: str | None
    key: str


def beside(path: Path) -> Path:
    """Path of the signature of a file."""
    return path.with_name(f"{path.name}{SUFFIX}")


def sign(content: bytes, name: str, key: Path) -> bytes:
    """The signature over ``content``.

    Args:
        content: Of the file.
        name: Of the file, ``manifest.json`` or ``measured.json``: a signature over one is none over the other.
        key: The private key, or the public one of a key that the agent has.

    Raises:
        BundleError: The key cannot be read or used, or there is no ``ssh-keygen``.
    """
    ended = _run(["sign", "-f", str(key), "-n", _NAMESPACES[name]], content, timeout_s=_ASKING_S)
    if ended.returncode or "BEGIN SSH SIGNATURE" not in ended.stdout:
        raise BundleError(f"cannot sign with {key}: {_last(ended)}")
    return ended.stdout.encode()


def verify(content: bytes, name: str, signature: Path, allowed_signers: Path | None) -> Signer:
    """Who signed ``content``.

    Args:
        content: Of the file.
        name: Of the file in the bundle.
        signature: File of the signature.
        allowed_signers: Who may; in the format of ``ssh-keygen(1)``, ALLOWED SIGNERS. None: whoever it was.

    Raises:
        BundleError: The signature is damaged, or over something else, or its key is none of an allowed signer.
    """
    if signature.stat().st_size > _MOST_BYTES:
        raise BundleError(f"{signature} is no signature: it has {signature.stat().st_size:,} bytes")
    arguments = ["-n", _NAMESPACES[name], "-s", str(signature)]
    checked = _run(["check-novalidate", *arguments], content)
    key = _KEY.search(checked.stdout)
    if checked.returncode or key is None:
        raise BundleError(f"{signature} is no signature over this {name}: {_last(checked)}")
    shown_key = f"{key[1]} {key[2]}"
    if allowed_signers is None:
        return Signer(None, shown_key)
    if not allowed_signers.is_file():
        raise BundleError(f"there is no file of allowed signers at {allowed_signers}")
    found = _run(["find-principals", "-s", str(signature), "-f", str(allowed_signers)], b"")
    for principal in found.stdout.splitlines():
        ended = _run(["verify", *arguments, "-f", str(allowed_signers), "-I", principal], content)
        if ended.returncode == 0:
            return Signer(principal, shown_key)
    raise BundleError(
        f"{signature} was made with the key {shown_key}, which is no allowed signer's in {allowed_signers}"
    )


def _run(arguments: list[str], content: bytes, *, timeout_s: float = _TIMEOUT_S) -> CompletedProcess[str]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        try:
            return subprocesses.run(["ssh-keygen", "-Y", *arguments], timeout_s=timeout_s, stdin=file)
        except FileNotFoundError as problem:
            raise BundleError("signatures need OpenSSH's ssh-keygen, 8.2 or newer: install openssh-client") from problem
        except TimeoutExpired as problem:
            raise BundleError(f"ssh-keygen does not answer within {timeout_s:.0f} s") from problem


def _last(ended: CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (ended.stderr + ended.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else f"ssh-keygen ended with {ended.returncode}"
