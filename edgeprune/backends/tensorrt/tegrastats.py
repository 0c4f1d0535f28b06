"""Parser for tegrastats, the monitor of Jetson boards. Values that a line does not contain are None, not zero.

Format: docs.nvidia.com/jetson, "Tegrastats Utility". Boards and releases differ, so each value is parsed separately.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from edgeprune.errors import DeviceError

_MEGABYTE = 1 << 20
_LONG_NUMBER = re.compile(r"\d{13}")

_RAM = re.compile(r"\bRAM (\d+)/(\d+)MB")
_CPU = re.compile(r"\bCPU \[([^\]]*)\]")
_CORE = re.compile(r"(\d+)%(?:@(\d+))?$")
_EMC = re.compile(r"\bEMC_FREQ (?:(\d+)%)?(?:@(\d+))?")
# X%, X%@F, X%@[F,...] or @[F,...]
_GPU = re.compile(r"\bGR3D_FREQ (?:(\d+)%)?(?:@(?:\[(\d+(?:,\d+)*)\]|(\d+)))?")
# One value, or now and average (R39).
_TEMPERATURE = re.compile(r"(?<!\S)([A-Za-z]\w*)@(-?\d+(?:\.\d+)?)C\b")
# Now and average, or now, average and peak; old firmware leaves out the unit, so that memory of a cut line looks alike.
_RAIL = re.compile(r"(?<!\S)(?!RAM|SWAP|IRAM)([A-Z][A-Z0-9_]*) (\d+)(?:mW)?/(\d+)(?:mW)?(?:/\d+(?:mW)?)?(?!\S)")


@dataclass(frozen=True)
class BoardSample:
    """Values of one line of tegrastats.

    Attributes:
        memory_used_bytes: Used memory of CPU and GPU together in bytes. This and all following values are None if the
            line does not contain them.
        memory_bytes: Memory of the board in bytes.
        cpu_load: Load of each core that is on, 0..1.
        cpu_mhz: Clock of each core that is on and reports it, in MHz.
        memory_load: Load of the memory controller, 0..1.
        memory_mhz: Clock of the memory controller in MHz.
        gpu_load: Load of the GPU, 0..1.
        gpu_mhz: Clock of each GPU cluster in MHz.
        temperature_c: Temperature by sensor in degrees Celsius: ``gpu``, ``cpu``, ``tj``, ...
        power_mw: Current power by rail in milliwatts: ``VDD_IN``, ``VDD_CPU_GPU_CV``, ...
    """

    memory_used_bytes: int | None
    memory_bytes: int | None
    cpu_load: tuple[float, ...] | None
    cpu_mhz: tuple[int, ...] | None
    memory_load: float | None
    memory_mhz: int | None
    gpu_load: float | None
    gpu_mhz: tuple[int, ...] | None
    temperature_c: Mapping[str, float]
    power_mw: Mapping[str, int]


def read_tegrastats(line: str) -> BoardSample:
    """Parse a line, or a part of a line, of Xavier, Orin or Thor.

    Raises:
        DeviceError: The line has no value of tegrastats, or a number is too long.
    """
    if _LONG_NUMBER.search(line):
        raise DeviceError(f"tegrastats: expected numbers of at most 12 digits, got {line[:120]!r}")
    ram, emc, gpu = _RAM.search(line), _EMC.search(line), _GPU.search(line)
    cores = _cores(line)
    clocks = tuple(mhz for _, mhz in cores if mhz is not None)
    sample = BoardSample(
        memory_used_bytes=int(ram[1]) * _MEGABYTE if ram else None,
        memory_bytes=int(ram[2]) * _MEGABYTE if ram else None,
        cpu_load=tuple(load for load, _ in cores) or None,
        cpu_mhz=clocks or None,
        memory_load=_fraction(emc),
        memory_mhz=int(emc[2]) if emc and emc[2] else None,
        gpu_load=_fraction(gpu),
        gpu_mhz=tuple(int(mhz) for mhz in (gpu[2] or gpu[3]).split(",")) if gpu and (gpu[2] or gpu[3]) else None,
        temperature_c={name.lower(): float(value) for name, value in _TEMPERATURE.findall(line)},
        power_mw={rail: int(power) for rail, power, _ in _RAIL.findall(line)},
    )
    if not any(vars(sample).values()):
        raise DeviceError(f"tegrastats: unexpected line {line[:120]!r}")
    return sample


def _cores(line: str) -> list[tuple[float, int | None]]:
    """Load and clock of each core that is on (others print ``off``)."""
    match = _CPU.search(line)
    cores = [_CORE.match(core.strip()) for core in match[1].split(",")] if match else []
    return [(int(core[1]) / 100, int(core[2]) if core[2] else None) for core in cores if core]


def _fraction(match: re.Match[str] | None) -> float | None:
    return int(match[1]) / 100 if match and match[1] else None
