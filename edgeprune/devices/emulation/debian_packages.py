"""Debian packages of another architecture, downloaded into a folder with the apt sources of this machine.

apt works in a separate folder with its own index and an empty list of installed packages. It therefore needs no root
privileges and resolves all dependencies. Sources, keys and proxies are those of the machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeprune import files
from edgeprune.devices.emulation import host_tools
from edgeprune.errors import DeviceError


def native_architecture() -> str:
    """Return Debian's name of this machine's architecture.

    Raises:
        DeviceError: This machine does not run Debian or a derivative.
    """
    for tool in ("apt-get", "dpkg", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise DeviceError(
                f"{tool} is not installed, but installing an emulator needs it: use Debian, Ubuntu or a derivative"
            )
    return host_tools.run(["dpkg", "--print-architecture"]).stdout.strip()


def download(packages: Sequence[str], architectures: Sequence[str], folder: Path) -> list[Path]:
    """Download packages and their dependencies into ``folder``; an earlier download resumes.

    Args:
        packages: Names such as ``python3:arm64``.
        architectures: Architectures to index; dependencies are resolved in the first one.
        folder: Folder for apt, which is created.

    Returns:
        Paths of the ``.deb`` files, which apt has compared with the signed index.

    Raises:
        DeviceError: apt fails; the message has the end of its output.
    """
    archives = folder / "archives"
    for inner in (archives / "partial", folder / "state/lists/partial"):
        inner.mkdir(parents=True, exist_ok=True)
    status = folder / "status"
    status.touch()
    settings = {
        "Dir::State": folder / "state",
        "Dir::State::status": status,
        "Dir::Cache": folder,
        "Dir::Cache::archives": archives,
        "APT::Architecture": architectures[0],
        "APT::Sandbox::User": "root",  # the user that root's apt downloads as cannot write to a cache of root's
        "Acquire::Languages": "none",
        "Debug::NoLocking": "true",
    }
    options = [argument for key, value in settings.items() for argument in ("-o", f"{key}={value}")]
    options += [argument for name in architectures for argument in ("-o", f"APT::Architectures::={name}")]
    # An index that cannot be had may belong to a source without what is needed, so the next step decides.
    update_output = _apt([*options, "update"])[1]
    _apt([*options, "autoclean"])  # versions of an earlier download that have been replaced since
    code, install_output = _apt([*options, "install", "--yes", "--no-install-recommends", "--download-only", *packages])
    if code != 0:
        raise DeviceError(
            f"apt-get cannot download {', '.join(packages)}: {host_tools.last_words(update_output + install_output)} "
            f"(the apt sources of this machine must have packages for {architectures[0]}, such as those of Debian)"
        )
    return sorted(archives.glob("*.deb"))


def _apt(arguments: Sequence[str]) -> tuple[int, str]:
    """Run apt-get and return its exit code and its stderr."""
    result = host_tools.run(["apt-get", "-q", *arguments], env={**os.environ, "LC_ALL": "C.UTF-8"})
    return result.returncode, "".join(
        f"{line}\n" for line in result.stderr.splitlines() if line.startswith(("E:", "Err:"))
    )


def unpack(package: Path, root: Path) -> Mapping[str, str]:
    """Unpack a ``.deb`` into ``root`` and return its name, version, architecture and SHA-256.

    Raises:
        DeviceError: The file is damaged, or the disk is full.
    """
    result = host_tools.run(["dpkg-deb", "--extract", str(package), str(root)])
    if result.returncode != 0:
        raise DeviceError(f"cannot unpack {package.name}: {host_tools.last_words(result.stderr)}")
    fields = ["Package", "Version", "Architecture"]
    output = host_tools.run(["dpkg-deb", "--field", str(package), *fields]).stdout
    values = dict(line.split(": ", 1) for line in output.splitlines())
    return {
        "name": values["Package"],
        "version": values["Version"],
        "architecture": values["Architecture"],
        "sha256": files.sha256(package),
    }
