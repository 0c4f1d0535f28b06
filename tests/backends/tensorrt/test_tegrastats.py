"""Lines of real boards, as found in public logs, and lines that are none."""

from __future__ import annotations

import re

import pytest

from edgeprune.backends.tensorrt.nvpmodel import PowerMode, read_nvpmodel
from edgeprune.backends.tensorrt.tegrastats import read_tegrastats
from edgeprune.errors import DeviceError

ORIN_NANO = (
    "09-21-2025 15:38:17 RAM 3645/7620MB (lfb 63x4MB) SWAP 236/3810MB (cached 0MB) CPU [1%@729,1%@729,4%@729,1%@729,"
    "0%@729,0%@729] EMC_FREQ 0%@204 GR3D_FREQ 0%@[305] NVDEC off NVJPG off NVJPG1 off VIC off OFA off APE 200 "
    "cpu@44.125C soc2@43.375C soc0@42.125C gpu@44.531C tj@44.531C soc1@43.156C VDD_IN 2957mW/2957mW "
    "VDD_CPU_GPU_CV 486mW/486mW VDD_SOC 1012mW/1012mW"
)
ORIN_NANO_BUSY = (
    "11-30-2025 13:26:01 RAM 2461/7620MB (lfb 3x2MB) SWAP 1243/3810MB (cached 5MB) CPU [19%@729,14%@729,22%@729,8%@729,"
    "15%@729,17%@729] EMC_FREQ 4%@2133 GR3D_FREQ 0%@[305] NVDEC off NVJPG off NVJPG1 off VIC off OFA off APE 200 "
    "cpu@46.531C soc2@47.312C soc0@46.593C gpu@48.218C tj@48.843C soc1@48.843C VDD_IN 5704mW/5704mW "
    "VDD_CPU_GPU_CV 831mW/831mW VDD_SOC 1624mW/1624mW"
)
XAVIER = (  # the end of a line
    "[0%@1190,1%@1190,0%@1190,0%@1189,0%@1190,0%@1191,0%@1190,0%@1190] EMC_FREQ 0%@1331 GR3D_FREQ 0%@114 VIC_FREQ 115 "
    "APE 150 AUX@36C CPU@36.5C thermal@35.7C Tboard@37C AO@35C GPU@35C Tdiode@38.75C PMIC@50C GPU 467mW/467mW "
    "CPU 467mW/467mW SOC 1245mW/1245mW CV 0mW/0mW VDDRQ 311mW/311mW SYS5V 2768mW/2768mW"
)
AGX_ORIN_R39 = "GR3D_FREQ 12%@[1300,1300] gpu@47.625C/47.625C VDD_GPU_SOC 5139mW/5139mW/5139mW"  # pieces of a line


def test_orin() -> None:
    sample = read_tegrastats(ORIN_NANO)
    assert (sample.memory_used_bytes, sample.memory_bytes) == (3645 << 20, 7620 << 20)
    assert sample.cpu_load == (0.01, 0.01, 0.04, 0.01, 0, 0)
    assert sample.cpu_mhz == (729,) * 6
    assert (sample.memory_load, sample.memory_mhz) == (0, 204)
    assert (sample.gpu_load, sample.gpu_mhz) == (0, (305,))
    assert sample.temperature_c == {
        "cpu": 44.125,
        "soc2": 43.375,
        "soc0": 42.125,
        "gpu": 44.531,
        "tj": 44.531,
        "soc1": 43.156,
    }
    assert sample.power_mw == {"VDD_IN": 2957, "VDD_CPU_GPU_CV": 486, "VDD_SOC": 1012}


def test_orin_busy() -> None:
    sample = read_tegrastats(ORIN_NANO_BUSY)
    assert sample.cpu_load == (0.19, 0.14, 0.22, 0.08, 0.15, 0.17)
    assert (sample.memory_load, sample.memory_mhz) == (0.04, 2133)
    assert sample.temperature_c["tj"] == 48.843
    assert sample.power_mw["VDD_IN"] == 5704


def test_xavier() -> None:
    sample = read_tegrastats(XAVIER)
    assert (sample.memory_used_bytes, sample.memory_bytes, sample.cpu_load) == (None, None, None)
    assert (sample.gpu_load, sample.gpu_mhz) == (0, (114,))
    assert sample.temperature_c == {
        "aux": 36,
        "cpu": 36.5,
        "thermal": 35.7,
        "tboard": 37,
        "ao": 35,
        "gpu": 35,
        "tdiode": 38.75,
        "pmic": 50,
    }
    assert sample.power_mw == {"GPU": 467, "CPU": 467, "SOC": 1245, "CV": 0, "VDDRQ": 311, "SYS5V": 2768}


def test_three_values_a_rail_and_two_a_sensor() -> None:
    sample = read_tegrastats(AGX_ORIN_R39)
    assert (sample.gpu_load, sample.gpu_mhz) == (0.12, (1300, 1300))
    assert sample.temperature_c == {"gpu": 47.625}
    assert sample.power_mw == {"VDD_GPU_SOC": 5139}


@pytest.mark.parametrize(
    ("part", "load", "mhz"),
    [
        ("GR3D_FREQ 7%", 0.07, None),
        ("GR3D_FREQ 7%@918", 0.07, (918,)),
        ("GR3D_FREQ 7%@[1300,1200]", 0.07, (1300, 1200)),
        ("GR3D_FREQ @[1575,1575,1575]", None, (1575, 1575, 1575)),  # Thor tells no load
    ],
)
def test_load_and_clocks_of_the_gpu_come_in_four_forms(
    part: str, load: float | None, mhz: tuple[int, ...] | None
) -> None:
    sample = read_tegrastats(f"RAM 1/2MB (lfb 1x4MB) {part} gpu@40C")
    assert (sample.gpu_load, sample.gpu_mhz) == (load, mhz)


def test_old_firmware_leaves_out_the_unit_of_power() -> None:
    assert read_tegrastats("RAM 1/2MB VDD_IN 5069/5100 VDD_SOC 1012/1012").power_mw == {
        "VDD_IN": 5069,
        "VDD_SOC": 1012,
    }


def test_cores_that_are_off_are_left_out() -> None:
    sample = read_tegrastats("CPU [10%@1190,off,off,20%@1190] GR3D_FREQ 0%")
    assert sample.cpu_load == (0.1, 0.2)


def test_every_beginning_of_a_line_is_read_or_refused() -> None:
    for end in range(len(ORIN_NANO)):
        try:
            sample = read_tegrastats(ORIN_NANO[:end])
        except DeviceError:
            continue
        assert sample.memory_bytes in (None, 7620 << 20)
        assert set(sample.power_mw) <= {"VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"}


@pytest.mark.parametrize(
    "line", ["", "\n", "tegrastats: command not found", "\x00\xff\xfe", "%@[", "RAM /MB CPU [] @C"]
)
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(DeviceError, match="tegrastats"):
        read_tegrastats(line)


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("NV Power Mode: MAXN\n0\n", PowerMode("MAXN", 0)),
        ("NV Power Mode: 25W\n1", PowerMode("25W", 1)),
        (
            (
                "NVPM VERB: parsing done for /etc/nvpmodel.conf\nNVPM VERB: Current mode: NV Power Mode: 25W\n1\n"
                "NVPM VERB: PARAM CPU_ONLINE: ARG CORE_0: REAL_VAL: 1 CONF_VAL: 1\n"
            ),
            PowerMode("25W", 1),
        ),
    ],
)
def test_the_power_mode_has_a_name_and_a_number(text: str, mode: PowerMode) -> None:
    assert read_nvpmodel(text) == mode


@pytest.mark.parametrize("text", ["", "NV Power Mode: ", "NV Power Mode: MAXN", "nvpmodel: command not found\n1\n"])
def test_no_power_mode_is_an_error(text: str) -> None:
    with pytest.raises(DeviceError, match=rf"nvpmodel.*{re.escape(repr(text))}"):
        read_nvpmodel(text)


@pytest.mark.parametrize("line", ["CPU [{}%@1510]", "RAM {}/7620MB", "cpu@{}C", "GR3D_FREQ {}%"])
def test_a_number_too_long_for_any_board_is_a_device_error(line: str) -> None:
    with pytest.raises(DeviceError):
        read_tegrastats(line.format("9" * 5000))


def test_a_mode_number_too_long_for_any_board_is_a_device_error() -> None:
    with pytest.raises(DeviceError):
        read_nvpmodel(f"NV Power Mode: 25W\n{'9' * 5000}\n")
