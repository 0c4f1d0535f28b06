"""The state of a device: what Linux tells (files as a board has them), and what tools print (as recorded)."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgeprune.devices import Local
from edgeprune.errors import DeviceError
from edgeprune.profile import device_state
from edgeprune.profile.device_state import DeviceMonitor, DeviceSample
from edgeprune.profile.profile_result import DeviceState
from tests.imports import imported

_TEGRASTATS = (
    "11-30-2025 13:26:01 RAM 2461/7620MB (lfb 3x2MB) SWAP 1243/3810MB (cached 5MB) CPU "
    "[19%@729,14%@729,22%@1510,8%@729,15%@729,17%@729] EMC_FREQ 4%@2133 GR3D_FREQ 0%@[305] "
    "cpu@46.531C gpu@48.218C tj@48.843C "
    "VDD_IN 5704mW/5704mW VDD_CPU_GPU_CV 831mW/831mW VDD_SOC 1624mW/1624mW"
)


def board(root: Path) -> Path:
    """The files of a board, as Linux has them."""
    contents = {
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
        "sys/class/thermal/thermal_zone0/temp": "48700",
        "sys/class/thermal/thermal_zone1/type": "cpu-thermal",
        "sys/class/thermal/thermal_zone1/temp": "51000",
        "sys/class/thermal/thermal_zone2/type": "broken",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1500000",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "ondemand",
        "sys/class/hwmon/hwmon0/name": "ina3221",
        "sys/class/hwmon/hwmon0/in1_label": "VDD_IN",
        "sys/class/hwmon/hwmon0/in1_input": "5000",
        "sys/class/hwmon/hwmon0/curr1_input": "600",
        "sys/class/hwmon/hwmon1/name": "pmic",
        "sys/class/hwmon/hwmon1/power1_input": "2500000",
        "sys/class/powercap/intel-rapl:0/name": "package-0",
        "sys/class/powercap/intel-rapl:0/energy_uj": "1000",
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "proc/meminfo": "MemTotal:        3884360 kB\nMemFree: 1 kB\n",
    }
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content + "\n")
    return root


def tool(folder: Path, name: str, code: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)


def told(root: Path, *arguments: str) -> dict[str, Any]:
    argv = [sys.executable, "-I", str(device_state.SCRIPT), "--root", str(root), *arguments]
    ended = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=600)
    return dict(json.loads(ended.stdout))


def test_state_is_read_from_linux(tmp_path: Path) -> None:
    result = told(board(tmp_path))
    assert result["model"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert result["memory_bytes"] == 3884360 * 1024
    assert result["temperature_c"] == {"cpu-thermal": 48.7, "cpu-thermal thermal_zone1": 51.0}
    assert result["clock_mhz"] == {"policy0": 1500.0}
    assert result["governor"] == {"policy0": "ondemand"}
    assert result["power_mw"] == {"VDD_IN": 3000.0, "pmic power1": 2500.0}


def test_unknown_state_is_omitted(tmp_path: Path) -> None:
    assert set(told(tmp_path)) == {"at_s"}
    empty = device_state.sample({"at_s": 1.0})
    assert empty == DeviceSample(1.0, DeviceState(), None)
    assert device_state.problems(empty, [empty] * 9, empty, gpu=False) == []


def test_state_is_read_from_tools(tools: Path, tmp_path: Path) -> None:
    tool(tools, "vcgencmd", 'test "$1" = get_throttled && echo throttled=0x50005')
    tool(tools, "nvpmodel", "echo 'NV Power Mode: 25W'; echo 1")
    tool(tools, "nvidia-smi", "echo '61, 1980, 312.53, 4212, 0x0000000000000060'")
    raw = told(tmp_path, "--gpu")
    result = device_state.sample(raw)
    assert result.state.power_mode == "25W"
    assert result.gpu_memory_bytes == 4212 << 20
    assert result.state.temperature_c == {"gpu": 61.0}
    assert result.state.power_mw == {"gpu": 312530.0}
    assert result.state.throttle == (
        "under-voltage",
        "throttled",
        "under-voltage since boot",
        "throttled since boot",
        "GPU slowed down",
    )
    older = (
        "case $* in *clocks_event*) echo 'Field \"clocks_event_reasons.active\" is not a valid field'; exit 2;; esac\n"
    )
    tool(tools, "nvidia-smi", older + "echo '61, [N/A], [N/A], 4, 0x0000000000000001'")
    assert device_state.sample(told(tmp_path, "--gpu")).state == DeviceState(
        temperature_c={"gpu": 61.0}, throttle=result.state.throttle[:-1], power_mode="25W"
    )
    tool(tools, "vcgencmd", "echo VCHI initialization failed; exit 255")
    assert "throttled" not in told(tmp_path)


def test_state_is_sampled_during_the_measurement(tools: Path, tmp_path: Path) -> None:
    tool(tools, "tegrastats", f"echo $$ > {tmp_path}/pid; while :; do echo '{_TEGRASTATS}'; sleep 0.1; done")
    with Local().open() as workspace:
        monitor = DeviceMonitor(workspace, gpu=False)
        samples = monitor.take()
        while len(samples) < 5 or "VDD_IN" not in samples[-1].state.power_mw:
            samples += monitor.take()
            time.sleep(0.01)
        assert monitor.boot
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    last = samples[-1].state
    assert (last.clock_mhz["cpu"], last.clock_mhz["memory"], last.temperature_c["tj"]) == (1510.0, 2133.0, 48.843)
    times = [sample.at_s for sample in samples]
    assert times == sorted(times)
    result = device_state.environment(samples[0], samples, samples[-1])
    assert result.during.power_mw["VDD_IN"] == 5704
    assert device_state.energy_mj(result.during.power_mw, 2.0) == pytest.approx(11.408)
    assert device_state.energy_mj({"VDD_SOC": 1.0}, 2.0) is None


def test_a_counter_of_energy_becomes_power(tmp_path: Path) -> None:
    root = board(tmp_path)
    argv = [sys.executable, "-I", str(device_state.SCRIPT), "--root", str(root), "--serve"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "ready"

        def take() -> list[dict[str, Any]]:
            print("{}", file=process.stdin, flush=True)
            return list(json.loads(process.stdout.readline())["samples"])

        take()
        (root / "sys/class/powercap/intel-rapl:0/energy_uj").write_text("50001000\n")
        samples = take()
        while not any(sample["power_mw"].get("package-0") for sample in samples):
            samples = take()
        assert max(sample["power_mw"].get("package-0", 0) for sample in samples) > 1000
        (root / "sys/class/powercap/intel-rapl:0/energy_uj").write_text("10\n")
        assert all(sample["power_mw"].get("package-0", 0) >= 0 for sample in take())
        process.stdin.close()
        assert process.wait(300) == 0


def at(index: int, *, throttle: tuple[str, ...] | None = None, **clock_mhz: float) -> DeviceSample:
    return DeviceSample(float(index), DeviceState(throttle=throttle, clock_mhz=clock_mhz), None)


def test_throttling_makes_a_run_invalid_if_it_is_new_or_lasts() -> None:
    since = ("throttled since boot",)

    def found(before: tuple[str, ...], after: tuple[str, ...]) -> list[str]:
        return device_state.problems(at(0, throttle=before), [], at(1, throttle=after), gpu=False)

    assert found((), ()) == []
    assert found(since, since) == []
    assert found((), since) == ["the device throttled: throttled since boot"]
    assert found(("throttled", *since), ("throttled", *since)) == ["the device throttled: throttled"]


def test_falling_clock_invalidates_a_run() -> None:
    def found(*clocks: float, gpu: bool = False, name: str = "policy0") -> list[str]:
        during = [at(index, **{name: mhz}) for index, mhz in enumerate(clocks)]
        return device_state.problems(at(0), during, at(9), gpu=gpu)

    assert found(1500, 1500, 1450, 1500) == []
    assert found(1500, 1500, 1000, 1000) == ["the clock of the CPU fell from 1500 to 1000 MHz"]
    assert found(600, 1500, 1500, 1500) == []
    assert found(1500, 1000) == []  # too few to tell
    assert found(1300, 1300, 300, 300, name="gpu") == []
    assert found(1300, 1300, 300, 300, name="gpu", gpu=True) == ["the clock of the GPU fell from 1300 to 300 MHz"]
    idle = [at(index, policy0=1500, policy4=600 if index > 1 else 2400) for index in range(4)]
    assert device_state.problems(at(0), idle, at(9), gpu=False) == ["the clock of the CPU fell from 2400 to 1500 MHz"]


def test_unknown_output_of_a_tool_is_omitted(caplog: pytest.LogCaptureFixture) -> None:
    texts = {"throttled": 'error=2 error_msg="Invalid arguments"', "nvpmodel": "NVPM ERROR", "tegrastats": "?"}
    assert device_state.sample({"at_s": 1, **texts}) == DeviceSample(1.0, DeviceState(), None)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3


_FIGURES = ("temperature_c", "clock_mhz", "power_mw")
_NO_FIGURES = ["x", "1.5", "NaN", "", [], {}, None, True, 1e300, -1e300, 2e9, math.nan, math.inf, 10**400]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"at_s": "x"},
        {"at_s": 1, "gpu": []},
        {"at_s": 1, "throttled": 5},
        {"at_s": 1, "nvpmodel": []},
        {"at_s": 1, "tegrastats": "VDD_IN 5000000000mW/1mW cpu@40C"},
        *({"at_s": value} for value in _NO_FIGURES),
        *({"at_s": 1, name: {"x": value}} for value in _NO_FIGURES for name in _FIGURES),
        *({"at_s": 1, name: ["x"]} for name in (*_FIGURES, "governor")),
    ],
)  # fmt: skip
def test_state_of_another_schema_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(DeviceError):
        device_state.sample(wrong)


@pytest.mark.parametrize("text", ["x", "", "NaN", "inf", "1e300", "-1e300", "[N/A]", "9" * 400])
def test_invalid_gpu_figure_is_omitted(text: str) -> None:
    gpu = dict.fromkeys(("temperature_c", "clock_mhz", "power_w", "memory_mib"), text)
    assert device_state.sample({"at_s": 1, "gpu": gpu}) == DeviceSample(1.0, DeviceState(), None)


def test_the_largest_figures_have_a_mean() -> None:
    largest = {"VDD_IN": 1e9}
    samples = [device_state.sample({"at_s": at, "power_mw": largest, "clock_mhz": {"cpu0": 1e9}}) for at in range(4)]
    assert device_state.environment(samples[0], samples, samples[-1]).during.power_mw == largest
    assert device_state.energy_mj(largest, 1e9) == 1e15


@pytest.mark.parametrize(
    "line", ["", "[]", "null", '{"event": "ready"', '{"event": "ready", "boot": NaN}', "5", "x" * 500]
)
def test_an_answer_that_is_not_json_is_an_error(line: str) -> None:
    with pytest.raises(DeviceError):
        DeviceMonitor(_Says(line), gpu=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("samples", ["[]", "{}", "null", "5", '"x"', "[5]", "[null]", '[{"at_s": null}]', "[[]]"])
def test_samples_of_another_form_are_an_error(samples: str) -> None:
    monitor = DeviceMonitor(_Says('{"event": "ready"}', f'{{"event": "samples", "samples": {samples}}}'), gpu=False)  # type: ignore[arg-type]
    with pytest.raises(DeviceError):
        monitor.take()


class _Says:
    """A device whose program says these lines."""

    def __init__(self, *lines: str) -> None:
        self._lines = iter(lines)

    def push(self, file: Path) -> str:
        return file.name

    def converse(self, _argv: list[str]) -> _Says:
        return self

    def send(self, line: str) -> None:
        pass

    def receive(self, *, timeout_s: float) -> str:
        return next(self._lines)


def test_the_script_needs_python_3_8_only() -> None:
    assert imported(device_state.SCRIPT) <= sys.stdlib_module_names
