"""``edgeprune emulator``: install and list emulators of boards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli.command_groups import SuggestingGroup
from edgeprune.cli.console_output import echo, json_option, print_json, print_table
from edgeprune.cli.progress_bar import bar
from edgeprune.errors import DeviceError

if TYPE_CHECKING:
    from edgeprune.devices.emulation import Image


@click.group("emulator", cls=SuggestingGroup, exit_codes=(5,), invoke_without_command=True)
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Install the emulator of a board, or list the emulators.

    An emulator runs a bundle with the runtime of the board. Outputs are the same as on the board. The emulated latency
    does not predict the latency of the board. emulator:microcontroller needs no installation.

    \b
    Example:
      edgeprune emulator
      edgeprune emulator install raspberry-pi-4
    """
    context.obj = as_json
    if context.invoked_subcommand is None:
        context.invoke(list_emulators)


@command.command("list")
@json_option
@click.pass_obj
def list_emulators(json_before: bool, as_json: bool = False) -> None:
    """List the emulators, and which of them are installed.

    \b
    Example:
      edgeprune emulator list --json
    """
    from edgeprune.devices.emulation import BOARDS

    boards = [_board(name) for name in BOARDS]
    if as_json or json_before:
        print_json(boards)
        return
    rows = [(one["device"], one["model"], _state(one)) for one in boards]
    print_table(("device", "emulated board", "installed"), rows)


@command.command("install", exit_codes=(5,))
@click.argument("name")
@json_option
@click.pass_obj
def install(json_before: bool, name: str, as_json: bool) -> None:
    """Install an emulator into the user's cache folder, with the versions of the runtimes that are installed here.

    Needs apt-get, which is part of Debian and Ubuntu, and pip, both with access to their packages, but not root. An
    installed emulator is not installed again.

    \b
    Example:
      edgeprune emulator install raspberry-pi-4
    """
    from edgeprune.devices.emulation import install

    with bar(f"install {name}") as progress:
        install(name, progress=progress)
    board = _board(name)
    if as_json or json_before:
        print_json(board)
    else:
        echo(f"{board['device']}: {_state(board)}\nin {board['folder']}")


def _board(name: str) -> dict[str, Any]:
    from edgeprune.devices.emulation import BOARDS, find, folder

    try:
        image: Image | None = find(name)
    except DeviceError:
        image = None
    return {
        "name": name,
        "device": f"emulator:{name}",
        "model": BOARDS[name].model,
        "folder": str(folder(name)),
        "installed": None if image is None else dict(image.manifest),
    }


def _state(board: dict[str, Any]) -> str:
    installed = board["installed"]
    if installed is None:
        return "no"
    versions = ", ".join(f"{package['name']} {package['version']}" for package in _runtimes(installed))
    return f"Python {installed['python']}, {versions}; {installed['bytes'] / 1e6:.0f} MB"


def _runtimes(installed: dict[str, Any]) -> list[dict[str, str]]:
    from edgeprune.devices.emulation.install_emulator import RUNTIMES

    return [package for package in installed["packages"] if package["name"].replace("_", "-") in RUNTIMES]
