"""Programs of the system that some tasks call."""

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
_BESIDE = ("/usr/sbin", "/sbin")
"""Folders that are not on everyone's path."""


@dataclass(frozen=True)
class _Tool:
    """``package`` is Debian's name for what brings it; None where apt does not. ``version`` is what makes it tell."""

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
    """Those that apt brings, and TensorRT's own."""
    yield from map(_found, _TOOLS)
    trtexec = find_trtexec()
    purpose = "for TensorRT engines on this machine; it comes with TensorRT and JetPack"
    yield Finding("trtexec", "absent" if trtexec is None else "ok", purpose if trtexec is None else trtexec)


def _found(tool: _Tool) -> Finding:
    place = shutil.which(tool.name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_BESIDE]))
    if place is None:
        fix = f"sudo apt-get install {tool.package}" if tool.package and shutil.which("apt-get") else None
        return Finding(tool.name, "absent", f"for {tool.use}", fix)
    if tool.version is None:
        return Finding(tool.name, "ok", place)
    try:
        ended = subprocesses.run([place, tool.version], timeout_s=_VERSION_S)
    except (OSError, TimeoutExpired) as problem:
        return Finding(tool.name, "bad", f"{place} does not run: {problem}")
    lines = (ended.stdout.strip() or ended.stderr.strip()).splitlines()
    return Finding(tool.name, "ok", lines[0] if lines else place)
