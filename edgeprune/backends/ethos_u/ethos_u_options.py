"""Options of a target with an Ethos-U, from the table ``[runtime.options]`` of its file."""

from __future__ import annotations

from dataclasses import dataclass

from edgeprune.config import Target
from edgeprune.errors import TargetError

_ACCELERATORS = (
    "ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256", "ethos-u65-256", "ethos-u65-512",
    "ethos-u85-128", "ethos-u85-256", "ethos-u85-512", "ethos-u85-1024", "ethos-u85-2048",
)  # fmt: skip
_SYSTEMS = (
    "Ethos_U55_Deep_Embedded", "Ethos_U55_High_End_Embedded", "Ethos_U65_Embedded", "Ethos_U65_Mid_End",
    "Ethos_U65_High_End", "Ethos_U65_Client_Server", "Ethos_U85_SYS_Flash_Low", "Ethos_U85_SYS_Flash_High",
    "Ethos_U85_SYS_DRAM_Low", "Ethos_U85_SYS_DRAM_Mid", "Ethos_U85_SYS_DRAM_High",
)  # fmt: skip
_MEMORY_MODES = ("Shared_Sram",)
"""Supported memory modes. Others use a memory that the table [microcontroller] does not describe."""
_VALUES = {"accelerator_config": _ACCELERATORS, "system_config": _SYSTEMS, "memory_mode": _MEMORY_MODES}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of Vela, with the names of its command-line options.

    Attributes:
        accelerator_config: Name of the accelerator and its multiply-adds per cycle.
        system_config: Section of Vela's configuration file with the bandwidths of the memories.
        memory_mode: Section of the same file that assigns data to memories.
    """

    accelerator_config: str
    system_config: str
    memory_mode: str

    @classmethod
    def of(cls, target: Target) -> Options:
        """Check and return the options of ``target``.

        Raises:
            TargetError: An option is missing, unknown, or has a value that is not valid.
        """
        options = target.runtime.options
        for name in options:
            if name not in _VALUES:
                raise TargetError(
                    f"{target.name}: expected the options {', '.join(_VALUES)}, found '{name}' in [runtime.options]: "
                    "remove it"
                )
        for name, allowed in _VALUES.items():
            if options.get(name) not in allowed:
                actual = repr(options[name]) if name in options else "nothing"
                raise TargetError(
                    f"{target.name}: expected {' or '.join(map(repr, allowed))} as {name}, found {actual} in "
                    f"[runtime.options]: set runtime.options.{name}"
                )
        return cls(**{name: str(options[name]) for name in _VALUES})

    @property
    def series(self) -> str:
        """Series of the accelerator, as the driver and TFLite Micro name it: ``u55``."""
        return self.accelerator_config.split("-")[1]
