"""State of a device before, during and after a measurement, as ``device_monitor.py`` reports it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any, TypeVar

from edgeprune import safe_json
from edgeprune.backends.tensorrt.nvpmodel import read_nvpmodel
from edgeprune.backends.tensorrt.tegrastats import BoardSample, read_tegrastats
from edgeprune.devices import Workspace
from edgeprune.errors import DeviceError
from edgeprune.profile.profile_result import DeviceState, Environment

logger = logging.getLogger(__name__)

_Read = TypeVar("_Read")
SCRIPT = Path(__file__).with_name("device_monitor.py")
_ANSWER_S = 60.0
_MEGABYTE = 1 << 20
# Of vcgencmd get_throttled; 16 bits higher the same since boot (raspberrypi.com/documentation, "os.adoc").
_BITS = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_SINCE_BOOT = " since boot"
# Of clocks_throttle_reasons.active: slowdowns by hardware, heat and power brake (docs.nvidia.com/deploy/nvml-api).
_GPU_SLOWED = 0x8 | 0x20 | 0x40 | 0x80
# Rails that feed a whole board, or a whole processor: Orin Nano and NX, Xavier NX and Nano, Intel's and AMD's counters.
_TOTAL_POWER_RAILS = ("VDD_IN", "POM_5V_IN", "package-0")
_CLOCK_DROP = 0.1
_FEWEST_SAMPLES = 4
_LARGEST = 1e9
"""Largest value of any figure in its unit: means of larger ones could overflow, and no device has them."""


@dataclass(frozen=True)
class DeviceSample:
    """State of a device at one moment.

    Attributes:
        at_s: Time of the sample in seconds, by the monotonic clock of the device.
        state: Reported state.
        gpu_memory_bytes: GPU memory in use in bytes; None without a GPU, or if it is not reported.
    """

    at_s: float
    state: DeviceState
    gpu_memory_bytes: int | None


class DeviceMonitor:
    """Monitor of a device, which runs as a separate program there.

    Attributes:
        device: Description of the device: ``model``, ``memory_bytes``.
        boot: Boot identifier, which is equal for devices that are one machine; None if it is not reported.
    """

    def __init__(self, workspace: Workspace, *, gpu: bool) -> None:
        self._conversation = workspace.converse([workspace.push(SCRIPT), "--serve", *(["--gpu"] if gpu else [])])
        ready = self._answer("ready")
        self.boot: str | None = ready.get("boot")
        self.device: dict[str, Any] = {name: ready[name] for name in ("model", "memory_bytes") if name in ready}

    def take(self) -> list[DeviceSample]:
        """Return the samples since the last call; the last one is current."""
        self._conversation.send(json.dumps({"do": "take"}))
        samples = self._answer("samples").get("samples")
        if not isinstance(samples, list) or not samples:
            raise DeviceError(f"device monitor: expected a list of samples, got {samples!r:.200}")
        return [sample(reading) for reading in samples]

    def _answer(self, event: str) -> dict[str, Any]:
        line = self._conversation.receive(timeout_s=_ANSWER_S)
        try:
            answer = safe_json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or answer.get("event") != event:
            raise DeviceError(f"device monitor: expected the event '{event}', got {line[:200]!r}")
        return answer


def sample(reading: Mapping[str, Any]) -> DeviceSample:
    """Parse one sample of the script. Values that cannot be parsed are omitted, with a warning in the log.

    Raises:
        DeviceError: The message is not a sample.
    """
    try:
        state = DeviceState(
            temperature_c=_figures(reading.get("temperature_c", {})),
            clock_mhz=_figures(reading.get("clock_mhz", {})),
            power_mw=_figures(reading.get("power_mw", {})),
            governor={name: str(value) for name, value in dict(reading.get("governor", {})).items()},
            throttle=_parsed(_throttle, reading.get("throttled")),
            power_mode=_parsed(lambda text: read_nvpmodel(text).name, reading.get("nvpmodel")),
        )
        board = _parsed(read_tegrastats, reading.get("tegrastats"))
        state = state if board is None else _with_board(state, board)
        gpu: Mapping[str, str] = reading.get("gpu", {})
        state = _with_gpu(state, gpu) if gpu else state
        memory = _number(gpu.get("memory_mib", ""))
        used = None if memory is None else round(memory * _MEGABYTE)
        for figures in (state.temperature_c, state.clock_mhz, state.power_mw):
            _figures(figures)
        return DeviceSample(_figure(reading["at_s"]), state, used)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as problem:
        raise DeviceError(f"device monitor: invalid sample: {problem!r}") from problem


def environment(before: DeviceSample, during: Sequence[DeviceSample], after: DeviceSample) -> Environment:
    """Return the state before, during and after the blocks."""
    states = [one.state for one in during]
    over = DeviceState(
        temperature_c=_over(max, (state.temperature_c for state in states)),
        clock_mhz=_over(median, (state.clock_mhz for state in states)),
        power_mw=mean_power_mw(during),
    )
    return Environment(before.state, over, after.state)


def mean_power_mw(samples: Sequence[DeviceSample]) -> dict[str, float]:
    """Return the mean power in mW by rail."""
    return _over(fmean, (one.state.power_mw for one in samples))


def energy_mj(power_mw: Mapping[str, float], latency_ms: float) -> float | None:
    """Return the energy of one inference in mJ, from the rail of the total power; None without such a rail."""
    total_mw = next((power_mw[rail] for rail in _TOTAL_POWER_RAILS if rail in power_mw), None)
    return None if total_mw is None else total_mw * latency_ms / 1e3


def problems(before: DeviceSample, during: Sequence[DeviceSample], after: DeviceSample, *, gpu: bool) -> list[str]:
    """Return messages about throttling and about a falling clock.

    Of several clusters of cores, the fastest clock counts, because idle clusters are slow. With ``gpu``, the clock of
    the GPU counts.
    """
    messages = []
    now, earlier = (set(one.state.throttle or ()) for one in (after, before))
    bad = sorted(flag for flag in now if flag not in earlier or not flag.endswith(_SINCE_BOOT))
    if bad:
        messages.append(f"the device throttled: {', '.join(bad)}")
    series = [
        [mhz for name, mhz in one.state.clock_mhz.items() if (name == "gpu") == gpu and name != "memory"]
        for one in during
    ]
    clocks = [max(several) for several in series if several]
    if len(clocks) >= _FEWEST_SAMPLES:
        first, last = median(clocks[: len(clocks) // 2]), median(clocks[len(clocks) // 2 :])
        if last < (1 - _CLOCK_DROP) * first:
            messages.append(f"the clock of the {'GPU' if gpu else 'CPU'} fell from {first:.0f} to {last:.0f} MHz")
    return messages


def _parsed(read: Callable[[str], _Read], text: str | None) -> _Read | None:
    if text is None:
        return None
    try:
        return read(text)
    except (DeviceError, ValueError, OverflowError) as problem:
        logger.warning("omitted from the device state: %s", problem)
        return None


def _throttle(text: str) -> tuple[str, ...]:
    match = re.search(r"throttled=0x([0-9a-fA-F]+)", text)
    if match is None:
        raise ValueError(f"vcgencmd get_throttled: expected throttled=0x..., got {text!r}")
    bits = int(match[1], 16)
    now = [name for bit, name in enumerate(_BITS) if bits >> bit & 1]
    return (*now, *(name + _SINCE_BOOT for bit, name in enumerate(_BITS) if bits >> (bit + 16) & 1))


def _with_board(state: DeviceState, board: BoardSample) -> DeviceState:
    memory = None if board.memory_mhz is None else (board.memory_mhz,)
    clocks = {"cpu": board.cpu_mhz, "gpu": board.gpu_mhz, "memory": memory}
    return replace(
        state,
        temperature_c={**state.temperature_c, **board.temperature_c},
        clock_mhz={**state.clock_mhz, **{name: float(max(values)) for name, values in clocks.items() if values}},
        power_mw={**state.power_mw, **board.power_mw},
    )


def _with_gpu(state: DeviceState, gpu: Mapping[str, str]) -> DeviceState:
    read = {name: _number(gpu.get(name, "")) for name in ("temperature_c", "clock_mhz", "power_w")}
    reasons, throttle = gpu.get("throttle", ""), state.throttle
    if reasons.startswith("0x"):
        throttle = (*(throttle or ()), *(["GPU slowed down"] if int(reasons, 16) & _GPU_SLOWED else []))
    return replace(
        state,
        temperature_c=_with(state.temperature_c, read["temperature_c"]),
        clock_mhz=_with(state.clock_mhz, read["clock_mhz"]),
        power_mw=_with(state.power_mw, None if read["power_w"] is None else 1e3 * read["power_w"]),
        throttle=throttle,
    )


def _with(values: Mapping[str, float], gpu: float | None) -> dict[str, float]:
    return dict(values) if gpu is None else {**values, "gpu": gpu}


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) <= _LARGEST else None


def _figures(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: _figure(value) for name, value in values.items()}


def _figure(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not abs(value) <= _LARGEST:  # NaN is not
        raise ValueError(f"{value!r:.40} is not a number from {-_LARGEST:g} to {_LARGEST:g}")
    return float(value)


def _over(reduce: Any, readings: Iterable[Mapping[str, float]]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for one in readings:
        for name, value in one.items():
            values.setdefault(name, []).append(value)
    return {name: float(reduce(several)) for name, several in values.items()}
