"""Installation of an emulator into the user's cache: a board's Python and runtimes, and QEMU.

Debian packages are downloaded with apt and the runtimes with pip, with the settings of this machine. Nothing is
installed on the machine itself, and no root privileges are needed.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from edgeprune import files
from edgeprune.bundle.atomic_swap import exchange
from edgeprune.devices.emulation import debian_packages, emulator_image, foreign_wheels, host_tools
from edgeprune.devices.emulation.emulator_image import Image
from edgeprune.errors import DeviceError
from edgeprune.progress import SILENT, Progress

RUNTIMES = ("numpy", "onnxruntime", "ai-edge-litert")
_ARCHITECTURE, _MACHINE = "arm64", "aarch64"
_NEEDLESS = ("usr/share", "var")
_STEPS = 4
_CHECK = "import numpy, onnxruntime; from ai_edge_litert.interpreter import Interpreter"
_CHECK_TIMEOUT_S = 300


def install(name: str, *, progress: Progress = SILENT) -> Image:
    """Install the emulator ``name`` with the versions of the runtimes that are installed here.

    Return immediately if it is installed with these versions, and replace an installation with other versions. The
    folder appears only when it is complete. An interrupted download resumes.

    Args:
        name: Name in ``BOARDS``.
        progress: Progress, which advances by one for each step.

    Raises:
        InputError: The board has no emulator.
        DeviceError: apt or pip is missing or fails, or the installed programs do not run.
    """
    place = emulator_image.folder(emulator_image.board(name).name)
    requirements = foreign_wheels.same_as_here(RUNTIMES)
    progress.start(_STEPS)
    with _alone(place):
        with suppress(DeviceError):
            installed = emulator_image.find(name)
            if installed.manifest["requirements"] == requirements:
                return installed
        downloads, new = place.with_name(f".{name}.download"), place.with_name(f".{name}.new")
        shutil.rmtree(new, ignore_errors=True)  # of an installation that was killed
        try:
            image = _make(emulator_image.board(name), new, downloads, requirements, progress)
            exchange(image.folder, place)
        finally:
            shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(downloads)
    return emulator_image.find(name)


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Wait until no other process installs the same emulator."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.with_name(f".{place.name}.lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(
    board: emulator_image.Board, folder: Path, downloads: Path, requirements: list[str], progress: Progress
) -> Image:
    root = folder / emulator_image.ROOT
    root.mkdir(parents=True)
    native = debian_packages.native_architecture()
    package_names = [f"python3:{_ARCHITECTURE}", f"libstdc++6:{_ARCHITECTURE}", f"qemu-user-static:{native}"]
    archives = debian_packages.download(package_names, (_ARCHITECTURE, native), downloads)
    progress.advance()
    packages = [debian_packages.unpack(archive, root) for archive in archives]
    _tidy(root)
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(board.cpuinfo(), encoding="utf-8")
    progress.advance()
    python = (root / "usr/bin/python3").resolve().name.removeprefix("python")
    packages += foreign_wheels.install(
        requirements,
        root / f"usr/local/lib/python{python}/dist-packages",
        machine=_MACHINE,
        python=python,
        glibc_minor=_glibc_minor(packages),
        report=downloads / "wheels.json",
    )
    progress.advance()
    image = Image(board, folder, {"python": python})
    _check(image)
    manifest = {
        "schema": emulator_image.SCHEMA,
        "name": board.name,
        "requirements": requirements,
        "python": python,
        "bytes": sum(path.lstat().st_size for path in root.rglob("*") if not path.is_dir()),
        "packages": packages,
    }
    files.write_atomic(folder / emulator_image.MANIFEST, json.dumps(manifest, indent=1) + "\n")
    progress.advance()
    return image


def _tidy(root: Path) -> None:
    """Remove files that are not needed, such as QEMU for other architectures, and add files that packages lack."""
    qemu = root / emulator_image.QEMU
    program = qemu.resolve()  # newer Debians have a link to it
    if not program.is_file():
        raise DeviceError(f"the downloaded Debian packages do not contain {qemu.name}")
    program.replace(root / "qemu")
    for other in qemu.parent.glob("qemu-*"):
        other.unlink()
    (root / "qemu").replace(qemu)
    for needless in _NEEDLESS:
        shutil.rmtree(root / needless, ignore_errors=True)
    if not (root / "lib").exists():  # newer Debians leave the link to their base system
        (root / "lib").symlink_to("usr/lib")


def _glibc_minor(packages: list[Mapping[str, str]]) -> int:
    version = next(package["version"] for package in packages if package["name"] == "libc6")
    return int(version.partition("-")[0].split(".")[1])


def _check(image: Image) -> None:
    """Import the runtimes on the board, which also writes their compiled files for later runs."""
    result = host_tools.run([*image.command, "-c", _CHECK], timeout_s=_CHECK_TIMEOUT_S, env=emulator_image.ENVIRONMENT)
    if result.returncode != 0:
        words = host_tools.last_words(result.stderr)
        raise DeviceError(f"the emulator {image.board.name} does not run on this machine: {words}")
