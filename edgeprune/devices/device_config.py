"""Devices by name: ``devices.toml`` of the working folder, then of the user.

Each table is a device, with its ``uri`` and the options of its transport::

    [kitchen]
    uri = "ssh://pi@kitchen.local"
    python = "venv/bin/python"

An option that is true or false is passed on as 1 or 0.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlencode

from edgeprune.config.settings_base import nearest, read_toml
from edgeprune.errors import InputError

FILE = "devices.toml"


def files() -> list[Path]:
    """Return the files of named devices by descending priority; they need not exist."""
    xdg_folder = Path(os.environ.get("XDG_CONFIG_HOME", ""))  # the specification has relative paths ignored
    user = xdg_folder if xdg_folder.is_absolute() else Path.home() / ".config"
    return [Path(FILE), user / "edgeprune" / FILE]


def devices() -> dict[str, str]:
    """Return the URI of every named device, with its options.

    Raises:
        InputError: A file is not valid TOML, or a table in it has no ``uri``, or a value that is not text.
    """
    uris: dict[str, str] = {}
    for file in files():
        if file.is_file():
            for name, table in read_toml(file, InputError).items():
                uris.setdefault(name, _uri(file, name, table))
    return uris


def uri_of(name: str, *, schemes: str) -> str:
    """Return the URI of the device called ``name``; ``schemes`` are named in the error message.

    Raises:
        InputError: No device has this name, or a file is not valid.
    """
    uris = devices()
    if name not in uris:
        near = nearest(name, list(uris))
        hint = f"; did you mean '{near}'?" if near else ""
        raise InputError(
            f"device: got {name!r}, must start with one of {schemes}, or be a name in {FILE} of the working folder or "
            f"{files()[1].parent} ({', '.join(uris) or 'no names are defined'}){hint}"
        )
    return uris[name]


def _uri(file: Path, name: str, table: object) -> str:
    if not isinstance(table, dict) or not isinstance(table.get("uri"), str):
        raise InputError(f"{file}: '{name}' must be a table with the key uri: [{name}] and uri = \"ssh://user@host\"")
    wrong = [key for key, value in table.items() if not isinstance(value, str | int)]
    if wrong:
        raise InputError(
            f"{file}: {name}.{wrong[0]}: got {table[wrong[0]]!r:.80}, must be text, a whole number, true or false"
        )
    options = {key: int(value) if isinstance(value, bool) else value for key, value in table.items() if key != "uri"}
    uri = table["uri"]
    return uri if not options else f"{uri}{'&' if '?' in uri else '?'}{urlencode(options)}"
