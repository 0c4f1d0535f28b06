"""The boards there are emulators for, and what an installed emulator is: a folder in the user's cache."""

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
"""Name of the board's file system in the folder of an emulator."""
QEMU = "usr/bin/qemu-aarch64-static"
"""In ``ROOT``, though it is a program of this machine."""
ENVIRONMENT = {"LANG": "C.UTF-8", "PYTHONNOUSERSITE": "1"}
"""Environment of programs on the board. This machine's has paths and Python settings for another architecture."""


@dataclass(frozen=True)
class Board:
    """A board that an emulator imitates.

    Attributes:
        name: As in ``emulator:NAME``; that of its target.
        model: For people.
        cpu: As QEMU calls it.
        cores: How many.
        part: The core's number in ``/proc/cpuinfo``, by which runtimes choose their kernels.
        revision: Of the core.
        features: Instructions it has, as the kernel names them.
    """

    name: str
    model: str
    cpu: str
    cores: int
    part: int
    revision: int
    features: str

    def cpuinfo(self) -> str:
        """Its ``/proc/cpuinfo``."""
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
    """An installed emulator.

    Attributes:
        board: What it imitates.
        folder: Where it is.
        manifest: ``requirements``, ``packages`` with versions and hashes, the version of ``python``, ``bytes``.
    """

    board: Board
    folder: Path
    manifest: Mapping[str, Any]

    @property
    def command(self) -> list[str]:
        """The arguments that start the board's Python here."""
        root = self.folder / ROOT
        python = root / "usr/bin" / f"python{self.manifest['python']}"
        # Where a path exists under -L, programs see that file instead of this machine's: their libraries, and the
        # board's /proc/cpuinfo, without which ONNX Runtime and LiteRT crash. It takes neither root nor namespaces.
        return [str(root / QEMU), "-L", str(root), "-cpu", self.board.cpu, str(python)]


def board(name: str) -> Board:
    """The board called ``name``.

    Raises:
        InputError: There is no emulator of it.
    """
    if name not in BOARDS:
        raise InputError(f"there is no emulator {name!r}; there are: {', '.join(BOARDS)}")
    return BOARDS[name]


def folder(name: str) -> Path:
    """Folder of the emulator ``name``, installed or not: in ``$XDG_CACHE_HOME``, which is ``~/.cache`` if unset."""
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))  # the specification has relative paths ignored
    cache = given if given.is_absolute() else Path.home() / ".cache"
    return cache / "edgeprune" / "emulators" / name


def find(name: str) -> Image:
    """The installed emulator ``name``.

    Raises:
        InputError: There is no emulator of that name.
        DeviceError: It is not installed, or by an EdgePrune that does it differently.
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
            f"the emulator in {place} has schema {schema}, this EdgePrune needs {SCHEMA}: run "
            f"'edgeprune emulator install {name}'"
        )
    return Image(BOARDS[name], place, manifest)
