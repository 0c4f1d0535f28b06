"""Emulated boards.

For a board with Linux, QEMU runs the board's own Python and runtimes. A microcontroller is TFLite Micro's interpreter
behind a pseudo-terminal, which answers like a board on a serial port.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeprune import extras, safe_json
from edgeprune.devices.base import Capability, Device, Kind, Workspace, transport
from edgeprune.devices.board.board_runner import BoardConversation, board_workspace
from edgeprune.devices.board.serial_link import SerialLink
from edgeprune.devices.emulation import emulator_image
from edgeprune.devices.local import local_workspace
from edgeprune.devices.subprocess_channel import ChildProcess
from edgeprune.errors import InputError, ModelError

MICROCONTROLLER = "microcontroller"
_FIRMWARE = "edgeprune.devices.emulation.firmware_emulator"
_START_S = 120.0


@dataclass(frozen=True)
class Emulator:
    """Emulated board with Linux.

    Outputs are computed with the board's instructions. Memory is that of QEMU's process, which also has the code that
    QEMU translates. Latency says nothing about the board.

    Attributes:
        name: Name of an emulator in ``emulation.BOARDS``.
    """

    name: str
    kind: Kind = "emulated"
    capabilities: frozenset[Capability] = frozenset({Capability.PUSH, Capability.RUN, Capability.MEMORY})

    @property
    def uri(self) -> str:
        return f"emulator:{self.name}"

    @contextmanager
    def open(self) -> Iterator[Workspace]:
        """Yield a workspace; at the end, terminate its programs and wait for them.

        Raises:
            DeviceError: The emulator is not installed.
        """
        with local_workspace(emulator_image.find(self.name).command, emulator_image.ENVIRONMENT) as workspace:
            yield workspace


@dataclass(frozen=True)
class EmulatedMicrocontroller:
    """Emulated microcontroller: TFLite Micro on this machine.

    Outputs are those of the reference kernels. The arena is converted to 32-bit pointers. Latency says nothing about a
    board.
    """

    uri: str = f"emulator:{MICROCONTROLLER}"
    kind: Kind = "emulated"
    capabilities: frozenset[Capability] = frozenset({Capability.PUSH, Capability.MEMORY, Capability.PER_LAYER})

    @contextmanager
    def open(self) -> Iterator[Workspace]:
        """Yield a workspace that starts a board for each conversation, and ends them at the end.

        Raises:
            MissingPackageError: TFLite Micro is not installed.
        """
        extras.check("mcu")
        with board_workspace(_EmulatedConversation) as workspace:
            yield workspace


class _EmulatedConversation(BoardConversation):
    """Conversation with an emulated board that this conversation starts."""

    def __init__(self) -> None:
        self._child = ChildProcess([sys.executable, "-m", _FIRMWARE], name="the emulated board")
        try:
            machine = {"cpu": "TFLite Micro on this machine", "runtime": "tflm"}
            super().__init__(SerialLink(str(self._state()["port"])), machine, flash=self._put_model)
        except BaseException:
            self._child.close()
            raise

    def close(self) -> None:
        super().close()
        self._child.close()

    def _put_model(self, path: Path) -> None:
        self._child.send(json.dumps({"flash": str(path)}))
        state = self._state()
        if "error" in state:
            raise ModelError(state["error"])

    def _state(self) -> dict[str, Any]:
        return dict(safe_json.loads(self._child.receive(timeout_s=_START_S)))


@transport("emulator")
def _emulator(name: str) -> Device:
    if name == MICROCONTROLLER:
        return EmulatedMicrocontroller()
    if name not in emulator_image.BOARDS:
        available = ", ".join([*emulator_image.BOARDS, MICROCONTROLLER])
        raise InputError(f"device: unknown emulator {name!r}, must be one of {available}")
    emulator_image.find(name)
    return Emulator(name)
