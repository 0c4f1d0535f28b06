"""Parser for the power mode of a Jetson board from ``nvpmodel -q``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgeprune.errors import DeviceError

# "NV Power Mode: 25W" and the number on a line of its own; --verbose puts "NVPM VERB: Current mode: " before it.
_MODE = re.compile(r"NV Power Mode:[ \t]*(\S+)[ \t]*\r?\n(?:[^\n]*\n)*?[ \t]*(\d{1,9})[ \t]*(?:\r?\n|$)")


@dataclass(frozen=True)
class PowerMode:
    """Power mode of a Jetson board.

    Attributes:
        name: Name that identifies the mode, such as ``MAXN_SUPER`` or ``25W``.
        number: Number of the mode. It differs between boards and releases for the same name.
    """

    name: str
    number: int


def read_nvpmodel(text: str) -> PowerMode:
    """Parse the power mode.

    Raises:
        DeviceError: The text has no power mode.
    """
    match = _MODE.search(text)
    if match is None:
        raise DeviceError(f"nvpmodel -q: expected a power mode, got {text[:120]!r}")
    return PowerMode(match[1], int(match[2]))
