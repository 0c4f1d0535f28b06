"""Signatures of bundles with SSH keys, by ``ssh-keygen -Y``.

The manifest is signed, which covers every file by its hash. The signature is stored in the folder as
``manifest.json.sig``, and next to the archive as ``<name>.tar.gz.sig``, so the bytes of the archive do not depend on
it. Measurements change from run to run, so ``measured.json`` has a separate signature. It contains the hash of its
manifest.
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
_INTERACTIVE_TIMEOUT_S = 600.0
"""Timeout for signing in seconds: the user may have to type a passphrase or touch a security key."""
_KEY = re.compile(r"with (\S+) key (\S+)")


@dataclass(frozen=True)
class Signer:
    """Signer of a bundle.

    Attributes:
        principal: Name of the key in the file of allowed signers; None if no such file was given.
        key: Type and fingerprint of the key.
    """

    principal: str | None
    key: str


def signature_path(path: Path) -> Path:
    """Return the path of a file's signature."""
    return path.with_name(f"{path.name}{SUFFIX}")


def sign(content: bytes, name: str, key: Path) -> bytes:
    """Return the signature of ``content``.

    Args:
        content: Content of the file.
        name: Name of the file, ``manifest.json`` or ``measured.json``. A signature is valid only for the file of this
            name.
        key: Path of the private key, or of the public key if the SSH agent has the private one.

    Raises:
        BundleError: The key cannot be read or used, or ``ssh-keygen`` is not installed.
    """
    process = _run(["sign", "-f", str(key), "-n", _NAMESPACES[name]], content, timeout_s=_INTERACTIVE_TIMEOUT_S)
    if process.returncode or "BEGIN SSH SIGNATURE" not in process.stdout:
        raise BundleError(f"cannot sign with {key}: {_last(process)}")
    return process.stdout.encode()


def verify(content: bytes, name: str, signature: Path, allowed_signers: Path | None) -> Signer:
    """Verify the signature of ``content`` and return its signer.

    Args:
        content: Content of the file.
        name: Name of the file in the bundle.
        signature: Path of the signature.
        allowed_signers: File of allowed signers, in the format of ``ssh-keygen(1)``, ALLOWED SIGNERS. None accepts any
            signer.

    Raises:
        BundleError: The signature is damaged or belongs to other content, or its key is not listed in
            ``allowed_signers``.
    """
    if signature.stat().st_size > _MOST_BYTES:
        raise BundleError(
            f"{signature} is not a valid signature: it has {signature.stat().st_size:,} bytes, but the limit is "
            f"{_MOST_BYTES:,}"
        )
    arguments = ["-n", _NAMESPACES[name], "-s", str(signature)]
    novalidate = _run(["check-novalidate", *arguments], content)
    key = _KEY.search(novalidate.stdout)
    if novalidate.returncode or key is None:
        raise BundleError(f"{signature} is not a valid signature of the content of {name}: {_last(novalidate)}")
    shown_key = f"{key[1]} {key[2]}"
    if allowed_signers is None:
        return Signer(None, shown_key)
    if not allowed_signers.is_file():
        raise BundleError(f"the file of allowed signers {allowed_signers} does not exist")
    principals = _run(["find-principals", "-s", str(signature), "-f", str(allowed_signers)], b"")
    for principal in principals.stdout.splitlines():
        check = _run(["verify", *arguments, "-f", str(allowed_signers), "-I", principal], content)
        if check.returncode == 0:
            return Signer(principal, shown_key)
    raise BundleError(f"signature {signature}: key {shown_key} is not listed in {allowed_signers}")


def _run(arguments: list[str], content: bytes, *, timeout_s: float = _TIMEOUT_S) -> CompletedProcess[str]:
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        try:
            return subprocesses.run(["ssh-keygen", "-Y", *arguments], timeout_s=timeout_s, stdin=file)
        except FileNotFoundError as problem:
            raise BundleError(
                "ssh-keygen is not installed, but signatures need it: install OpenSSH 8.2 or newer"
            ) from problem
        except TimeoutExpired as problem:
            raise BundleError(f"ssh-keygen did not finish within {timeout_s:.0f} s") from problem


def _last(process: CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (process.stderr + process.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else f"ssh-keygen ended with exit code {process.returncode}"
