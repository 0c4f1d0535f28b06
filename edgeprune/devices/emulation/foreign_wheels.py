"""Python packages of another architecture, with this machine's pip and its settings."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgeprune.devices.emulation import host_tools
from edgeprune.errors import DeviceError

_OLDEST_GLIBC = 17
"""The minor version of glibc 2 that the first wheels for aarch64 were built for."""


def same_as_here(names: Sequence[str]) -> list[str]:
    """Requirements of the versions installed here; of any version where there is none."""
    return [_same_as_here(name) for name in names]


def _same_as_here(name: str) -> str:
    try:
        return f"{name}=={version(name).partition('+')[0]}"  # what follows a plus is a build for this machine
    except PackageNotFoundError:
        return name


def install(
    requirements: Sequence[str], folder: Path, *, machine: str, python: str, glibc_minor: int, report: Path
) -> list[Mapping[str, str]]:
    """Install requirements, and what they need, into ``folder``.

    Args:
        requirements: As pip takes them.
        folder: Such as a ``dist-packages``; is made.
        machine: In the names of wheels: ``aarch64``.
        python: Version of the Python they are for, such as ``3.11``.
        glibc_minor: Of that machine's glibc 2.
        report: A file for pip's account of it.

    Returns:
        Name, version, architecture and sha256 of the wheel of each.

    Raises:
        DeviceError: pip is missing, or fails; with its last words.
    """
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
    argv += ["--target", str(folder), "--report", str(report)]
    argv += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
    for minor in range(_OLDEST_GLIBC, glibc_minor + 1):
        argv += ["--platform", f"manylinux_2_{minor}_{machine}"]
    ended = host_tools.run([*argv, *requirements])
    if ended.returncode != 0:
        lines = [line for line in ended.stderr.splitlines() if not line.startswith("WARNING")]
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
