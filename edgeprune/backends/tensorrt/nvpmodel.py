"""The power mode of a Jetson board, as ``nvpmodel -q`` prints it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeprune.errors import DeviceError

# "NV Power Mode: 25W" and the number on a line of its own; --verbose puts "NVPM VERB: Current mode: " before it.
_MODE = re.compile(r"NV Power Mode:[ \t]*(\S+)[ \t]*\r?\n(?:[^\n]*\n)*?[ \t]*(\d{1,9})[ \t]*(?:\r?\n|$)")


@dataclass(frozen=True)
class PowerMode:
    """A power mode.

    Attributes:
        name: Such as ``MAXN_SUPER`` or ``25W``: what a mode is chosen by.
        number: Differs between boards and releases for the same name.
    """

    name: str
    number: int


def read_nvpmodel(text: str) -> PowerMode:
    """Read the power mode.

    Raises:
        DeviceError: There is none in the text.
    """
    found = _MODE.search(text)
    if found is None:
        raise DeviceError(f"nvpmodel -q names no power mode: {text[:120]!r}")
    return PowerMode(found[1], int(found[2]))
