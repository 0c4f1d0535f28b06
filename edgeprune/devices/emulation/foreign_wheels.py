"""Python packages of another architecture, installed with this machine's pip and its settings."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgeprune.devices.emulation import host_tools
from edgeprune.errors import DeviceError

_OLDEST_GLIBC = 17
"""Minor version of glibc 2 that the first wheels for aarch64 were built for."""


def same_as_here(names: Sequence[str]) -> list[str]:
    """Return requirements of the installed versions, without a version for packages that are not installed."""
    return [_same_as_here(name) for name in names]


def _same_as_here(name: str) -> str:
    try:
        return f"{name}=={version(name).partition('+')[0]}"  # what follows a plus is a build for this machine
    except PackageNotFoundError:
        return name


def install(
    requirements: Sequence[str], folder: Path, *, machine: str, python: str, glibc_minor: int, report: Path
) -> list[Mapping[str, str]]:
    """Install requirements and their dependencies into ``folder``.

    Args:
        requirements: Requirements in pip's syntax.
        folder: Destination such as ``dist-packages``, which is created.
        machine: Architecture in the names of wheels, such as ``aarch64``.
        python: Version of the target's Python, such as ``3.11``.
        glibc_minor: Minor version of the target's glibc 2.
        report: File for pip's installation report.

    Returns:
        Name, version, architecture and SHA-256 of each wheel.

    Raises:
        DeviceError: pip is missing, or fails; the message has the end of its output.
    """
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
    argv += ["--target", str(folder), "--report", str(report)]
    argv += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
    for minor in range(_OLDEST_GLIBC, glibc_minor + 1):
        argv += ["--platform", f"manylinux_2_{minor}_{machine}"]
    result = host_tools.run([*argv, *requirements])
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if not line.startswith("WARNING")]
        raise DeviceError(
            f"pip cannot install {', '.join(requirements)} for Python {python} on {machine}: "
            f"{host_tools.last_words(' '.join(lines))}"
        )
    return [
        {
            "name": entry["metadata"]["name"],
            "version": entry["metadata"]["version"],
            "architecture": machine,
            "sha256": entry["download_info"]["archive_info"]["hashes"]["sha256"],
        }
        for entry in json.loads(report.read_text(encoding="utf-8"))["install"]
    ]
