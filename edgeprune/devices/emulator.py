"""A board that this machine imitates: its own Python and runtimes, run by QEMU, instruction by instruction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edgeprune.devices.base import Capability, Kind, Workspace, transport
from edgeprune.devices.emulation import image
from edgeprune.devices.local import local_workspace


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
    capabilities: frozenset[Capability] = frozenset(
        {Capability.PUSH, Capability.RUN, Capability.STREAM, Capability.MEMORY}
    )

    @property
    def uri(self) -> str:
        return f"emulator:{self.name}"

    @contextmanager
    def open(self) -> Iterator[Workspace]:
        """A workspace whose programs are ended, and waited for, when it is closed.

        Raises:
            DeviceError: The emulator is not installed.
        """
        with local_workspace(image.find(self.name).command, image.ENVIRONMENT) as workspace:
            yield workspace


@transport("emulator")
def _emulator(name: str) -> Emulator:
    image.find(name)
    return Emulator(name)
