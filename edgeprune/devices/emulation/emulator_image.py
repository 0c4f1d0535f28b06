"""Boards that have an emulator, and installed emulators: folders in the user's cache."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeprune import safe_json
from edgeprune.errors import DeviceError, InputError

MANIFEST = "manifest.json"
SCHEMA = 1
ROOT = "root"
"""Name of the folder with the board's file system."""
QEMU = "usr/bin/qemu-aarch64-static"
"""Path of QEMU below ``ROOT``, although it is a program of this machine."""
ENVIRONMENT = {"LANG": "C.UTF-8", "PYTHONNOUSERSITE": "1"}
"""Environment of programs on the board. That of this machine has paths and Python settings of another architecture."""


@dataclass(frozen=True)
class Board:
    """Board that can be emulated.

    Attributes:
        name: Name in ``emulator:NAME``, equal to the name of the target.
        model: Display name.
        cpu: QEMU's name of the processor.
        cores: Number of cores.
        part: Part number of the core in ``/proc/cpuinfo``, by which runtimes choose their kernels.
        revision: Revision of the core.
        features: Instruction set extensions, named as in the Linux kernel.
    """

    name: str
    model: str
    cpu: str
    cores: int
    part: int
    revision: int
    features: str

    def cpuinfo(self) -> str:
        """Return the content of the board's ``/proc/cpuinfo``."""
        cores = (
            f"processor\t: {core}\nFeatures\t: {self.features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
            f"CPU variant\t: 0x0\nCPU part\t: {self.part:#x}\nCPU revision\t: {self.revision}\n\n"
            for core in range(self.cores)
        )
        return "".join(cores) + f"Model\t\t: {self.model}, emulated\n"


BOARDS = {
    board.name: board
    for board in (
        Board(
            name="raspberry-pi-4",
            model="Raspberry Pi 4 Model B",
            cpu="cortex-a72",
            cores=4,
            part=0xD08,
            revision=3,
            features="fp asimd evtstrm crc32 cpuid",
        ),
    )
}


@dataclass(frozen=True)
class Image:
    """Installed emulator.

    Attributes:
        board: Emulated board.
        folder: Folder of the installation.
        manifest: ``requirements``, ``packages`` with versions and hashes, the version of ``python``, ``bytes``.
    """

    board: Board
    folder: Path
    manifest: Mapping[str, Any]

    @property
    def command(self) -> list[str]:
        """Return the arguments that start the board's Python on this machine."""
        root = self.folder / ROOT
        python = root / "usr/bin" / f"python{self.manifest['python']}"
        # Where a path exists under -L, programs see that file instead of this machine's: their libraries, and the
        # board's /proc/cpuinfo, without which ONNX Runtime and LiteRT crash. It takes neither root nor namespaces.
        return [str(root / QEMU), "-L", str(root), "-cpu", self.board.cpu, str(python)]


def board(name: str) -> Board:
    """Return the board called ``name``.

    Raises:
        InputError: The board has no emulator.
    """
    if name not in BOARDS:
        raise InputError(f"unknown emulator {name!r}, must be one of {', '.join(BOARDS)}")
    return BOARDS[name]


def folder(name: str) -> Path:
    """Return the folder of the emulator ``name``, below ``$XDG_CACHE_HOME`` (default ``~/.cache``)."""
    xdg_folder = Path(os.environ.get("XDG_CACHE_HOME", ""))  # the specification has relative paths ignored
    cache = xdg_folder if xdg_folder.is_absolute() else Path.home() / ".cache"
    return cache / "edgeprune" / "emulators" / name


def find(name: str) -> Image:
    """Return the installed emulator ``name``.

    Raises:
        InputError: The board has no emulator.
        DeviceError: The emulator is not installed, or was installed by an incompatible version of EdgePrune.
    """
    place = folder(board(name).name)
    try:
        manifest = safe_json.load(place / MANIFEST)
        schema = manifest["schema"]
    except FileNotFoundError:
        raise DeviceError(f"the emulator {name} is not installed: run 'edgeprune emulator install {name}'") from None
    except (OSError, ValueError, TypeError, KeyError) as problem:
        raise DeviceError(
            f"the emulator in {place} is damaged ({problem}): run 'edgeprune emulator install {name}'"
        ) from problem
    if schema != SCHEMA:
        raise DeviceError(
            f"the emulator in {place} has schema {schema}, but this EdgePrune needs {SCHEMA}: run "
            f"'edgeprune emulator install {name}'"
        )
    return Image(BOARDS[name], place, manifest)
