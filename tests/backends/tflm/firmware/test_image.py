"""The image: CMake links it for Cortex-M cores as the firmware's README says, and QEMU runs it on a Cortex-M4.

TensorFlow Lite Micro's sources are in no package: ``tflm_stand_in/`` has its interface, and files to be left out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import edgeprune as ep
from edgeprune.files import sha256
from tests.backends.tflm.firmware.conftest import Write

_HERE = Path(__file__).parent
_BOARD = "example_mps2_an386"
_QUICK = {"runs": 2, "blocks": 1, "block_s": 0, "warmup": 1}
_tools = ("arm-none-eabi-g++", "cmake", "make", "qemu-system-arm")
_absent = [tool for tool in _tools if shutil.which(tool) is None]
pytestmark = pytest.mark.skipif(bool(_absent), reason=f"not installed: {', '.join(_absent)}")


@pytest.fixture(scope="module")
def tflm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tflm")
    for part in ("headers", "tflm_stand_in"):
        shutil.copytree(_HERE / part, tree, dirs_exist_ok=True)
    return tree


def _cmake(*argv: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["cmake", *argv], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def _image(firmware: Path, tflm: Path, *options: str) -> Path:
    """Run the commands of the README beside the folder."""
    folder, build = firmware.parent, firmware.parent / "build"
    inputs = [f"-DTFLM_DIR={tflm}", f"-DBOARD_DIR={firmware.name}/{_BOARD}", *options]
    done = _cmake("-S", firmware.name, "-B", build, "--toolchain", "toolchain.cmake", *inputs, cwd=folder)
    assert done.returncode == 0, done.stderr
    done = _cmake("--build", build, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    return build / "firmware.elf"


@contextmanager
def _emulated(image: Path) -> Iterator[str]:
    """A Cortex-M4 that runs the image; gives its serial port."""
    argv = ["qemu-system-arm", "-M", "mps2-an386", "-kernel", image, "-display", "none", "-monitor", "none"]
    argv += ["-serial", "pty", "-icount", "shift=4,sleep=off"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as qemu:
        try:
            assert qemu.stdout is not None
            output = re.search(r"redirected to (\S+)", qemu.stdout.readline())
            assert output is not None
            yield output[1]
        finally:
            qemu.kill()


@pytest.fixture(scope="module")
def image(write_firmware: Write, tflm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _image(write_firmware(tmp_path_factory.mktemp("m4") / "firmware", "nucleo-l4r5zi"), tflm, "-DEMULATED=ON")


@pytest.mark.long
def test_image_is_a_release_without_unused_functions(image: Path, model: Path) -> None:
    sizes = subprocess.run(["arm-none-eabi-size", image], capture_output=True, text=True, check=True).stdout
    text = int(sizes.splitlines()[1].split()[0])
    assert (
        model.stat().st_size < text < model.stat().st_size + 16_000
    )  # a kernel of 64 KiB that nothing calls is not in


@pytest.mark.long
def test_a_release_is_profiled_without_layers_and_emulated(image: Path, model: Path) -> None:
    with _emulated(image) as port:
        result = ep.profile(model, f"serial:{port}", **_QUICK)
    (measured,) = result.models.values()
    assert measured.sha256 == sha256(model)
    assert measured.latency_ms.kind == "emulated"
    assert measured.arena_bytes is not None
    assert (measured.arena_bytes.value, measured.arena_bytes.kind) == (8192, "emulated")
    assert measured.layers is None


@pytest.mark.long
def test_image_with_layer_times_reports_them(write_firmware: Write, tflm: Path, model: Path, tmp_path: Path) -> None:
    image = _image(write_firmware(tmp_path / "firmware", "nucleo-l4r5zi"), tflm, "-DLAYER_TIMES=ON")
    with _emulated(image) as port:
        result = ep.profile(model, f"serial:{port}?emulated=1", **_QUICK)
    (measured,) = result.models.values()
    assert measured.layers is not None
    (layer,) = measured.layers
    assert layer.kind == "CONV_2D"
    assert 0 < layer.ms <= measured.latency_ms.p50


@pytest.mark.long
@pytest.mark.parametrize(
    ("target", "core", "floats"),
    [
        ("rp2040-pico", "v6S-M", None),
        ("stm32f746-disco", "v7E-M", "SP only"),
        ("rp2350-pico2", "v8-M.mainline", "SP only"),
        ("corstone-300", "v8.1-M.mainline", None),
    ],
)
def test_every_core_is_linked_for_itself(
    target: str, core: str, floats: str | None, write_firmware: Write, tflm: Path, tmp_path: Path
) -> None:
    image = _image(write_firmware(tmp_path / "firmware", target), tflm)
    argv = ["arm-none-eabi-readelf", "-A", image]
    output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    attributes = dict(re.findall(r"Tag_(\w+): (.+)", output))
    assert attributes["CPU_arch"] == core
    assert attributes.get("ABI_HardFP_use") == floats
    assert ("ABI_VFP_args" in attributes) == (target != "rp2040-pico")  # passes floats in registers
    assert "ARM_ISA_use" not in attributes  # no library of the ARM state


@pytest.mark.parametrize("option", ["-DTFLM_DIR=/nowhere", "-DBOARD_DIR=."])
def test_missing_tools_are_named(option: str, write_firmware: Write, tflm: Path, tmp_path: Path) -> None:
    folder = write_firmware(tmp_path, "nucleo-l4r5zi")
    options = [f"-DTFLM_DIR={tflm}", f"-DBOARD_DIR={_BOARD}", option]
    done = _cmake("-B", "build", "--toolchain", "toolchain.cmake", *options, cwd=folder)
    assert done.returncode != 0
    assert option.removeprefix("-D").partition("=")[0] in done.stderr


def test_cores_that_cmake_does_not_build_get_no_cmake_files(write_firmware: Write, tmp_path: Path) -> None:
    folder = write_firmware(tmp_path, "esp32-s3")
    assert not list(folder.rglob("*cmake*"))
    assert not list(folder.rglob("CMake*"))
    assert "## CMake" not in (folder / "README.md").read_text()
