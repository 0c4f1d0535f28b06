"""Boards that this machine imitates.

A board with Linux is its own Python and runtimes, run by QEMU, instruction by instruction. A microcontroller is TFLite
Micro's interpreter behind a pseudo-terminal, which answers as a board on a serial port does.
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
    """An emulated board.

    Outputs are those of the board's instructions. Memory is that of QEMU's process: over the board's own it has the
    code that QEMU translates as it goes. Time says nothing of the board.

    Attributes:
        name: Of an emulator in ``emulation.BOARDS``.
    """

    name: str
    kind: Kind = "emulated"
    capabilities: frozenset[Capability] = frozenset({Capability.PUSH, Capability.RUN, Capability.MEMORY})

    @property
    def uri(self) -> str:
        return f"emulator:{self.name}"

    @contextmanager
    def open(self) -> Iterator[Workspace]:
        """A workspace whose programs are ended, and waited for, when it is closed.

        Raises:
            DeviceError: The emulator is not installed.
        """
        with local_workspace(emulator_image.find(self.name).command, emulator_image.ENVIRONMENT) as workspace:
            yield workspace


@dataclass(frozen=True)
class EmulatedMicrocontroller:
    """TFLite Micro on this machine, spoken to as a board.

    Outputs are those of its reference kernels. The arena is restated for 32-bit pointers. Time says nothing of a board.
    """

    uri: str = f"emulator:{MICROCONTROLLER}"
    kind: Kind = "emulated"
    capabilities: frozenset[Capability] = frozenset({Capability.PUSH, Capability.MEMORY, Capability.PER_LAYER})

    @contextmanager
    def open(self) -> Iterator[Workspace]:
        """A workspace with a board for each conversation, gone when it is closed.

        Raises:
            MissingPackageError: TFLite Micro is not installed.
        """
        extras.check("mcu")
        with board_workspace(_EmulatedTalk) as workspace:
            yield workspace


class _EmulatedTalk(BoardConversation):
    """A board of its own, and the talk with it."""

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
        known = ", ".join([*emulator_image.BOARDS, MICROCONTROLLER])
        raise InputError(f"there is no emulator {name!r}; there are: {known}")
    emulator_image.find(name)
    return Emulator(name)
