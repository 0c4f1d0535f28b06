"""Checks of programs that some commands call."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from subprocess import TimeoutExpired

from edgeprune import subprocesses
from edgeprune.backends.tensorrt.runner_parts.trtexec_program import find_trtexec
from edgeprune.doctor.base import Finding, check

_VERSION_S = 20
_EXTRA_FOLDERS = ("/usr/sbin", "/sbin")
"""Folders of programs that are not on the PATH of every user."""


@dataclass(frozen=True)
class _Tool:
    """A program and its use.

    Attributes:
        name: Name of the program.
        use: Purpose of the program.
        package: Debian packages that contain it; None if apt does not provide it.
        version: Option that prints its version; None if there is none.
    """

    name: str
    use: str
    package: str | None
    version: str | None = "--version"


_TOOLS = (
    _Tool("git", "the commit in a bundle's provenance", "git"),
    _Tool("ssh", "devices over ssh", "openssh-client", "-V"),
    _Tool("ssh-keygen", "signatures of bundles", "openssh-client", None),
    _Tool("apt-get", "installing emulators", None),
    _Tool(
        "arm-none-eabi-g++",
        "firmware for Arm microcontrollers",
        "gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib",
    ),
)


@check("Programs", place=4)
def tools() -> Iterator[Finding]:
    """Check the programs that apt provides, and trtexec of TensorRT."""
    yield from map(_check_tool, _TOOLS)
    trtexec = find_trtexec()
    purpose = "for TensorRT engines on this machine; it is part of TensorRT and JetPack"
    yield Finding("trtexec", "absent" if trtexec is None else "ok", purpose if trtexec is None else trtexec)


def _check_tool(tool: _Tool) -> Finding:
    path = shutil.which(tool.name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_EXTRA_FOLDERS]))
    if path is None:
        fix = f"sudo apt-get install {tool.package}" if tool.package and shutil.which("apt-get") else None
        return Finding(tool.name, "absent", f"for {tool.use}", fix)
    if tool.version is None:
        return Finding(tool.name, "ok", path)
    try:
        process = subprocesses.run([path, tool.version], timeout_s=_VERSION_S)
    except (OSError, TimeoutExpired) as problem:
        return Finding(tool.name, "bad", f"{path} cannot run: {problem}")
    lines = (process.stdout.strip() or process.stderr.strip()).splitlines()
    return Finding(tool.name, "ok", lines[0] if lines else path)
