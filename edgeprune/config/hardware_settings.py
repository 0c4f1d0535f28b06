"""The tables ``[hardware]`` and ``[microcontroller]`` of a target."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgeprune.config.setting_types import Positive
from edgeprune.config.settings_base import Settings


class HardwareSettings(Settings):
    """Facts about the board, each with its source in ``sources``; None where the board leaves it open.

    Attributes:
        architecture: As ``platform.machine()`` gives it there: ``aarch64``, ``x86_64``.
        cpu: Name of the processor.
        cores: Physical CPU cores.
        clock_mhz: Highest standard clock.
        memory_bytes: Main memory of the smallest variant sold; a GPU on the board shares it. Of a microcontroller all
            its RAM.
        flash_bytes: Of a microcontroller: where program and model lie.
        features: Instructions of the CPU that kernels choose by, as Linux names them: ``asimddp`` is the int8 dot
            product, ``i8mm`` the int8 matrix product, ``asimdhp`` half precision. Of microcontrollers what CMSIS-NN
            chooses by: ``dsp`` two 16-bit products at once, ``mve`` vectors of 128 bits; and ``fpu``.
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
    """Cycles of a core for one multiply-add of an int8 network, all else included: for estimates of latency.

    Attributes:
        typical: Value that the estimated latency follows from.
        low: Lower end of its error band.
        high: Upper end.
        source: Of the figures.
    """

    typical: Annotated[float, Field(gt=0)]
    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]
    source: str

    @model_validator(mode="after")
    def _ordered(self) -> CyclesPerMac:
        if not self.low <= self.typical <= self.high:
            raise ValueError("low <= typical <= high")
        return self


class MicrocontrollerSettings(Settings):
    """Memory of a microcontroller that a model may use.

    Attributes:
        ram_bytes: The largest stretch of RAM without a gap: the arena is one array.
        reserved_ram_bytes: Of it, for stack, drivers and the rest of the firmware: an allowance, not a fact.
        reserved_flash_bytes: The same of the flash; TFLite Micro and its kernels are counted with the model.
        kernels: What TFLite Micro is built with there.
        cycles_per_mac: Of the core, with these kernels.
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
