"""Microcontroller on a serial port, with MLPerf Tiny's protocol; see ``board.board_protocol``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from edgeprune.devices.base import EMULATED, Capability, Kind, Workspace, kind_option, options, transport
from edgeprune.devices.board import board_protocol
from edgeprune.devices.board.board_runner import BoardConversation, board_workspace
from edgeprune.devices.board.serial_link import SerialLink
from edgeprune.errors import InputError

CAPABILITIES = frozenset({Capability.MEMORY, Capability.PER_LAYER})


@dataclass(frozen=True)
class SerialBoard:
    """Board with a model in its firmware. Arena and layer times are reported if the firmware provides them.

    Attributes:
        port: Path such as ``/dev/ttyACM0``.
        baud: Bits per second.
        kind: ``emulated`` if the port is that of an emulator, such as QEMU.
    """

    port: str
    baud: int = board_protocol.BAUD
    kind: Kind = "measured"
    capabilities: frozenset[Capability] = field(default=CAPABILITIES, repr=False)

    @property
    def uri(self) -> str:
        return f"serial:{self.port}?baud={self.baud}{f'&{EMULATED}=1' if self.kind == 'emulated' else ''}"

    @contextmanager
    def open(self) -> Iterator[Workspace]:
        """Yield a workspace with the only conversation of the port.

        Raises:
            DeviceError: The port cannot be opened, or is in use.
        """
        with board_workspace(lambda: BoardConversation(SerialLink(self.port, self.baud), {})) as workspace:
            yield workspace


@transport("serial")
def _serial(location: str) -> SerialBoard:
    uri = f"serial:{location}"
    port, query_options = options(location, ("baud", EMULATED), uri=uri)
    if not port:
        raise InputError("device: got 'serial:', must name a port, such as serial:/dev/ttyACM0?baud=9600")
    baud = query_options.get("baud", str(board_protocol.BAUD))
    if not baud.isascii() or not baud.isdigit() or not 0 < int(baud) <= 4_000_000:
        raise InputError(f"device {uri}: option baud: got '{baud}', must be a whole number from 1 to 4000000")
    return SerialBoard(port, int(baud), kind_option(query_options, uri=uri))
