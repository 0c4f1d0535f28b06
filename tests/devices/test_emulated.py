"""A Raspberry Pi 4 that is emulated: its aarch64 Python, ONNX Runtime and LiteRT, for real."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import edgeprune
from edgeprune.backends.onnxruntime.onnxruntime_session import OnnxRuntimeSession
from edgeprune.config import Recipe
from edgeprune.devices import device
from edgeprune.devices.emulation import Image, find, folder, foreign_wheels, install
from edgeprune.errors import DeviceError
from edgeprune.model import data
from edgeprune.profile import Profile, measure, predict
from edgeprune.profile.device_outputs import Array
from edgeprune.profile.interleaved_bench import default_scripts
from tests.devices import unreachable

pytestmark = [pytest.mark.long, pytest.mark.skipif(sys.platform != "linux", reason="QEMU's user mode is Linux's")]

_NAME = "raspberry-pi-4"
_URI = f"emulator:{_NAME}"
_INSTALL_S = 400
_RUN_S = 1700  # half a minute, but for machines that do much else


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache where an installation was killed while it unpacked; what it downloaded is left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        place = folder(_NAME)
        argv = [sys.executable, "-m", "edgeprune", "emulator", "install", _NAME]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
            end = time.monotonic() + _INSTALL_S
            while process.poll() is None and not (place.with_name(f".{_NAME}.new") / "root" / "usr").exists():
                assert time.monotonic() < end, "nothing was downloaded in time"
                time.sleep(0.02)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            assert process.stderr is not None
            output = process.stderr.read()
        if process.returncode != -signal.SIGKILL:
            unreachable.skip(output.removeprefix("error: "))
            pytest.fail(output)
        yield place


@pytest.fixture(scope="module")
def image(interrupted: Path) -> Image:
    """The emulator, installed on top of ``interrupted`` without another download by apt."""
    with pytest.raises(DeviceError, match=f"emulator install {_NAME}"):
        find(_NAME)
    nowhere = interrupted.parent / "apt.conf"
    nowhere.write_text('Acquire::http::Proxy "http://127.0.0.1:9"; Acquire::https::Proxy "http://127.0.0.1:9";\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("APT_CONFIG", str(nowhere))
        try:
            return install(_NAME)
        except DeviceError as problem:
            unreachable.skip(str(problem))
            raise
        finally:
            nowhere.unlink()


def test_interrupted_installation_resumes_without_leftover_files(image: Image) -> None:
    assert image == find(_NAME)
    installed = {package["name"]: package for package in image.manifest["packages"]}
    assert installed["numpy"]["version"] == version("numpy")
    assert installed["onnxruntime"]["version"] == version("onnxruntime")
    assert {"python3", "libc6", "qemu-user-static"} <= set(installed)
    assert all(len(bytes.fromhex(package["sha256"])) == 32 for package in installed.values())
    assert {path.name for path in image.folder.parent.iterdir()} == {_NAME, f".{_NAME}.lock"}


def test_installing_again_changes_nothing(image: Image) -> None:
    before = image.folder.stat().st_ino
    assert install(_NAME) == image
    assert image.folder.stat().st_ino == before


def test_failed_reinstallation_keeps_the_installed_emulator(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeprune.devices.emulation.foreign_wheels.version", lambda name: "0.0.1")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DeviceError, match="apt-get"):
        install(_NAME)
    assert find(_NAME) == image


def test_failed_download_reports_the_message_of_pip(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"numpy==0\.0\.1.*3\.11.*aarch64.*0\.0\.1"):
        foreign_wheels.install(
            ["numpy==0.0.1"], tmp_path, machine="aarch64", python="3.11", glibc_minor=36, report=tmp_path / "report"
        )


_SELF = """
import json, os, platform, sys
print(json.dumps({
    "machine": platform.machine(), "path": sys.path[1:], "argument": sys.argv[1], "user": sys.flags.no_user_site,
    "cores": open("/proc/cpuinfo").read().count("CPU part\\t: 0xd08"), "environment": sorted(os.environ),
}))
"""


def test_emulated_programs_use_the_python_of_the_board(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/of/this/machine")
    script = tmp_path / "self.py"
    script.write_text(_SELF)
    with device(_URI).open() as workspace:
        values = json.loads(workspace.run([workspace.push(script), "a b;c"], timeout_s=60))
    assert values["machine"] == "aarch64"
    assert values["cores"] == 4
    assert values["argument"] == "a b;c"
    assert values["user"] == 1
    assert all(Path(path).is_relative_to(image.folder) for path in values["path"])
    assert "PYTHONPATH" not in values["environment"]


def test_timeout_leaves_no_process(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeprune.devices.subprocess_channel._END_S", 0.2)
    script = tmp_path / "sleep.py"
    script.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(600)\n")
    with device(_URI).open() as workspace:
        talk = workspace.converse([workspace.push(script)])
        pid = int(talk.receive(timeout_s=60))
        with pytest.raises(DeviceError, match=r"\b0\.1 s"):
            talk.receive(timeout_s=0.1)
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.fixture(scope="module")
def digits(digits_bundle: Callable[..., Path]) -> Path:
    """The bundle of the digits network for a Raspberry Pi."""
    return digits_bundle(_NAME, {"training.epochs": 0})


@pytest.fixture(scope="module")
def digits_litert(digits_bundle: Callable[..., Path]) -> Path:
    """The same for LiteRT."""
    return digits_bundle(_NAME, {"training.epochs": 0}, runtime="litert")


def samples(recipe: str, count: int = 100) -> Array:
    """Test images of a recipe."""
    chosen = Recipe.load(recipe)
    test = data.load(chosen.data.function, base=chosen.folder, folder=chosen.data_dir).test
    assert test is not None
    return np.concatenate([inputs.numpy() for inputs, _ in test.batches(count)][:1])


def quantized(model: Path, inputs: Array, path: Path) -> Path:
    """``model`` in int8 (QDQ, symmetric, a scale for each channel), calibrated on ``inputs``."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    name = OnnxRuntimeSession(model).input_names[0]

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rest = iter(inputs)

        def get_next(self) -> dict[str, Array] | None:
            sample = next(self.rest, None)
            return None if sample is None else {name: sample[None]}

    quantize_static(
        model, path, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, extra_options={"ActivationSymmetric": True},
    )  # fmt: skip
    return path


def compare(model: Path, inputs: Array, runner: Path) -> tuple[float, float]:
    """Fraction of samples with the same best class here and on the board, and the largest difference of an output."""
    (here,) = predict(model, inputs, runner=runner).values()
    (there,) = predict(model, inputs, device(_URI), runner=runner, timeout_s=_RUN_S).values()
    assert here.shape == there.shape == (len(inputs), here.shape[1])
    return float((here.argmax(1) == there.argmax(1)).mean()), float(np.abs(here - there).max())


@pytest.mark.timeout(2 * _RUN_S)
def test_bundle_gives_the_same_outputs_on_the_emulator(image: Image, digits: Path, tmp_path: Path) -> None:
    inputs = samples("digits")
    same, error = compare(digits / "model.onnx", inputs, digits / "run.py")
    assert same == 1
    assert error < 1e-4
    same, _ = compare(quantized(digits / "model.onnx", inputs[:32], tmp_path / "int8.onnx"), inputs, digits / "run.py")
    assert same == 1


def test_tflite_file_gives_the_same_outputs_on_the_emulator(image: Image, shared_data: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="no LiteRT here to compare with")
    mean, std = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)[:, :, None, None]
    pixels = 255 * (samples("cifar10-resnet56") * std + mean)  # what that network takes
    model = shared_data / "models" / "mlperf_tiny_ic_int8.tflite"
    same, error = compare(model, pixels, default_scripts(Path("model.tflite"))[0])
    assert same == 1
    assert error == 0


@pytest.mark.timeout(2 * _RUN_S)
@pytest.mark.parametrize("name", ["digits", "digits_litert"])
def test_bundle_is_profiled_with_the_runner_in_the_bundle_and_gives_golden_outputs(
    image: Image, request: pytest.FixtureRequest, name: str
) -> None:
    bundle = request.getfixturevalue(name)
    result = edgeprune.profile(bundle, _URI, runs=2, blocks=1, block_s=0, warmup=0, timeout_s=_RUN_S)
    assert result.validity is not None
    assert result.validity.valid
    (check,) = result.validity.golden.values()
    assert (check.samples, check.top1_agreement) == (4, 1)
    (model,) = result.models.values()
    assert model.peak_memory_bytes is not None
    assert model.peak_memory_bytes.value > 0
    assert (model.peak_memory_bytes.kind, model.latency_ms.kind) == ("emulated", "emulated")
    # What this machine would tell of itself is nothing of the board's.
    assert (result.environment, model.layers, model.energy_mj) == (None, None, None)
    if name == "digits_litert":
        same, error = compare(bundle / "model.tflite", samples("digits"), bundle / "run.py")
        assert same == 1
        assert error < 1e-4


def test_measurements_of_the_emulator_have_the_kind_emulated(image: Image, digits: Path) -> None:
    result = measure({"pruned": digits / "model.onnx"}, device(_URI), threads=1, warmup=1, runs=3, blocks=1, block_s=0)
    model = result.models["pruned"]
    assert model.peak_memory_bytes is not None
    assert model.runtime_memory_bytes is not None
    assert model.peak_memory_bytes.value > 0
    figures = (model.latency_ms, model.first_ms, model.load_ms, model.peak_memory_bytes, model.runtime_memory_bytes)
    assert {figure.kind for figure in figures} == {"emulated"}
    assert result.device["uri"] == _URI
    assert result.device["machine"] == "aarch64"
    assert result.device["cpu"] == "Raspberry Pi 4 Model B, emulated"
    assert Profile.from_json(result.to_json()) == result
