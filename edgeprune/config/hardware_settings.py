"""Tables ``[hardware]`` and ``[microcontroller]`` of a target."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgeprune.config.setting_types import Positive
from edgeprune.config.settings_base import Settings


class HardwareSettings(Settings):
    """Properties of the board, each with its source in ``sources``; None if the board does not define it.

    Attributes:
        architecture: Value of ``platform.machine()`` on the board: ``aarch64``, ``x86_64``.
        cpu: Name of the processor.
        cores: Number of physical CPU cores.
        clock_mhz: Highest standard clock frequency in MHz.
        memory_bytes: Main memory in bytes of the smallest variant sold, shared with a GPU on the board. For a
            microcontroller: all of its RAM.
        flash_bytes: Flash memory of a microcontroller in bytes, for program and model.
        features: Instruction sets of the CPU that kernels depend on, with their names in Linux: ``asimddp`` is the int8
            dot product, ``i8mm`` the int8 matrix product, ``asimdhp`` half precision. For microcontrollers, those that
            CMSIS-NN depends on: ``dsp`` two 16-bit products at once, ``mve`` vectors of 128 bits; and ``fpu``.
        gpu: Name of the GPU that inference runs on.
    """

    architecture: str | None = None
    cpu: str | None = None
    features: Annotated[tuple[str, ...], Field(strict=False)] = ()
    gpu: str | None = None
    cores: Positive | None = None
    clock_mhz: Positive | None = None
    memory_bytes: Positive | None = None
    flash_bytes: Positive | None = None


class CyclesPerMac(Settings):
    """CPU cycles for one multiply-add of an int8 network, including overhead, for estimates of latency.

    Attributes:
        typical: Cycles from which the latency is estimated.
        low: Lower end of the error band.
        high: Upper end of the error band.
        source: Source of the values.
    """

    typical: Annotated[float, Field(gt=0)]
    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]
    source: str

    @model_validator(mode="after")
    def _ordered(self) -> CyclesPerMac:
        if not self.low <= self.typical <= self.high:
            raise ValueError("a table with low <= typical <= high")
        return self


class MicrocontrollerSettings(Settings):
    """Memory of a microcontroller that a model may use.

    Attributes:
        ram_bytes: Largest contiguous block of RAM in bytes, because the arena is one array.
        reserved_ram_bytes: Part of ``ram_bytes`` for stack, drivers and other firmware: an assumed allowance.
        reserved_flash_bytes: Flash for other firmware: an assumed allowance. TFLite Micro and its kernels are counted
            with the model.
        kernels: Kernel library with which TFLite Micro is built for the board.
        cycles_per_mac: Cycles per multiply-add of the core with these kernels.
    """

    ram_bytes: Positive
    reserved_ram_bytes: Annotated[int, Field(ge=0)]
    reserved_flash_bytes: Annotated[int, Field(ge=0)]
    kernels: Literal["cmsis_nn", "esp_nn"]
    cycles_per_mac: CyclesPerMac

    @property
    def arena_bytes(self) -> int:
        """Largest arena in bytes."""
        return self.ram_bytes - self.reserved_ram_bytes
