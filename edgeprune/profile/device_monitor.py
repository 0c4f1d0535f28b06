#!/usr/bin/env python3
"""Report the state of a Linux device during a measurement: temperature, clock, governor, throttling, power.

The script needs only Python 3.8 or newer. Values that the device does not report are omitted.

    python device_monitor.py         prints one sample as JSON
    python device_monitor.py --gpu   includes the first NVIDIA GPU

With --serve it takes samples continuously. It answers each line {"do": "take"} on stdin with the samples since the last
such line; the newest one includes values that other programs report. The first line that it prints, "ready", describes
the device. It ends when stdin is closed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

PROTOCOL = 1

_PERIOD_S = 0.2
_TOOL_S = 10
_GPU = {
    "temperature_c": "temperature.gpu",
    "clock_mhz": "clocks.sm",
    "power_w": "power.draw",
    "memory_mib": "memory.used",
}
_GPU_THROTTLE = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")  # newer drivers, and older ones


class Reader:
    """Reader of device state from files of Linux below ``root``, which is / except in tests."""

    def __init__(self, root: Path, gpu: bool) -> None:
        self._root = root
        self._gpu = gpu
        self._zones = self._named("sys/class/thermal/thermal_zone*", "type")
        self._policies = sorted(root.glob("sys/devices/system/cpu/cpufreq/policy*"))
        self._rails = self._power_rails()
        self._counters = self._named("sys/class/powercap/intel-rapl:?", "name")
        self._counted: dict[str, Any] = {}

    def sample(self) -> dict[str, Any]:
        """Return the values that are read from files."""
        power_mw = {name: rail() for name, rail in self._rails.items()}
        power_mw.update((name, self._power_since(name, path)) for name, path in self._counters.items())
        values_by_kind = {
            "temperature_c": _each({name: _number(zone / "temp", 1e-3) for name, zone in self._zones.items()}),
            "clock_mhz": _each({path.name: _number(path / "scaling_cur_freq", 1e-3) for path in self._policies}),
            "power_mw": _each(power_mw),
        }
        return dict({name: readings for name, readings in values_by_kind.items() if readings}, at_s=time.monotonic())

    def settings(self) -> dict[str, Any]:
        """Return settings, and values that programs report."""
        governors = {path.name: _text(path / "scaling_governor") for path in self._policies}
        settings = {
            "governor": {name: value for name, value in governors.items() if value},
            "throttled": _printed("vcgencmd", "get_throttled"),
            "nvpmodel": _printed("nvpmodel", "-q"),
        }
        if self._gpu:
            settings["gpu"] = self._gpu_settings()
        return {name: value for name, value in settings.items() if value}

    def _gpu_settings(self) -> dict[str, str]:
        for throttle in _GPU_THROTTLE:
            query = "--query-gpu=" + ",".join([*_GPU.values(), throttle])
            printed = _printed("nvidia-smi", query, "--format=csv,noheader,nounits", "--id=0")
            if printed:
                values = [part.strip() for part in printed.split(",")]
                return dict(zip([*_GPU, "throttle"], values))  # noqa: B905 - Python 3.8
        return {}

    def device(self) -> dict[str, Any]:
        """Return the description of this device, as far as it reports one."""
        memory = [line.split()[1] for line in _text(self._root / "proc/meminfo").splitlines() if "MemTotal" in line]
        description = {
            "model": _text(self._root / "proc/device-tree/model").strip("\0"),
            "boot": _text(self._root / "proc/sys/kernel/random/boot_id"),
            "memory_bytes": int(memory[0]) * 1024 if memory else None,
        }
        return {name: value for name, value in description.items() if value}

    def _named(self, pattern: str, name: str) -> dict[str, Path]:
        """Return folders by the content of their file ``name``; equal contents get the folder name appended."""
        folders: dict[str, Path] = {}
        for folder in sorted(self._root.glob(pattern)):
            label = _text(folder / name) or folder.name
            folders[label if label not in folders else f"{label} {folder.name}"] = folder
        return folders

    def _power_since(self, name: str, counter: Path) -> float | None:
        """Return the mean power since the last call in mW, from an energy counter; None at the first call."""
        energy_uj, now_s = _number(counter / "energy_uj"), time.monotonic()
        if energy_uj is None:
            return None
        before = self._counted.get(name)
        self._counted[name] = energy_uj, now_s
        if before is None or energy_uj < before[0]:  # it has wrapped around
            return None
        return float((energy_uj - before[0]) / (now_s - before[1]) / 1e3)

    def _power_rails(self) -> dict[str, Any]:
        """Return functions that read the power of each sensor rail in mW, by name."""
        readers: dict[str, Any] = {}
        for sensor in sorted(self._root.glob("sys/class/hwmon/hwmon*")):
            chip = _text(sensor / "name") or sensor.name
            for file in sorted(sensor.glob("power*_input")):
                label = _text(sensor / file.name.replace("_input", "_label")) or f"{chip} {file.name[:-6]}"
                readers[label] = lambda path=file: _number(path, 1e-3)
            for file in sorted(sensor.glob("curr*_input")):
                voltage = sensor / file.name.replace("curr", "in")
                label = _text(sensor / voltage.name.replace("_input", "_label"))
                if voltage.is_file() and label:
                    readers[label] = lambda volt=voltage, ampere=file: _product(_number(volt), _number(ampere, 1e-3))
        return readers


class Watch:
    """Periodic sampler of the device state and of the newest line of tegrastats."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._lock = threading.Lock()
        self._samples: list[dict[str, Any]] = []
        self._board = ""
        self._tegrastats: Any = None
        if shutil.which("tegrastats"):
            argv = ["tegrastats", "--interval", str(int(1000 * _PERIOD_S))]
            self._tegrastats = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            threading.Thread(target=self._follow, daemon=True).start()
        threading.Thread(target=self._sample, daemon=True).start()

    def take(self) -> list[dict[str, Any]]:
        """Return the samples since the last call, and a current one."""
        settings = self._reader.settings()
        with self._lock:
            samples, self._samples = [*self._samples, self._with_board(dict(self._reader.sample(), **settings))], []
        return samples

    def end(self) -> None:
        """Stop tegrastats."""
        if self._tegrastats is not None:
            self._tegrastats.kill()
            self._tegrastats.wait()

    def _sample(self) -> None:
        while True:
            time.sleep(_PERIOD_S)
            with self._lock:
                self._samples.append(self._with_board(self._reader.sample()))

    def _follow(self) -> None:
        for line in self._tegrastats.stdout:
            self._board = line.strip()

    def _with_board(self, sample: dict[str, Any]) -> dict[str, Any]:
        return dict(sample, tegrastats=self._board) if self._board else sample


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path, scale: float = 1.0) -> float | None:
    try:
        return float(_text(path)) * scale
    except ValueError:
        return None


def _product(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first * second


def _each(values: dict[str, Any]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items() if value is not None}


def _printed(*argv: str) -> str:
    """Return the output of a program; empty if it is missing or fails."""
    try:
        result = subprocess.run(argv, input="", capture_output=True, text=True, timeout=_TOOL_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def serve(reader: Reader) -> None:
    """Answer lines on stdin until it is closed."""

    def answer(**value: Any) -> None:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    watch = Watch(reader)
    try:
        answer(event="ready", protocol=PROTOCOL, **reader.device())
        for _line in iter(sys.stdin.readline, ""):
            answer(event="samples", samples=watch.take())
    finally:
        watch.end()


def main() -> None:
    """Run the command line interface."""
    parser = argparse.ArgumentParser(description="Print the state of this device.")
    parser.add_argument("--gpu", action="store_true", help="include the first NVIDIA GPU")
    parser.add_argument("--root", type=Path, default=Path("/"), help="folder of sys and proc (/)")
    parser.add_argument(
        "--serve", action="store_true", help="take samples continuously, and answer lines on stdin with them"
    )
    options = parser.parse_args()
    reader = Reader(options.root, options.gpu)
    if options.serve:
        serve(reader)
        # Exit without cleanup, because the sampling thread may hold a lock of the interpreter.
        os._exit(0)
    print(json.dumps(dict(reader.device(), **reader.sample(), **reader.settings()), indent=1))


if __name__ == "__main__":
    main()
