"""How engines are built on a board: the exact commands, and what is kept or built again.

No TensorRT is here: a program prints and writes what real ones did (see ``recorded_trtexec``).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgeprune.backends.tensorrt.runner_parts.engine_builder import Builder, describe_device
from edgeprune.backends.tensorrt.runner_parts.engine_errors import EngineError
from edgeprune.backends.tensorrt.runner_parts.trtexec_commands import PRECISIONS
from edgeprune.backends.tensorrt.tensorrt_backend import TensorRT
from tests.profile import recorded_trtexec

(SCRIPT,) = (file for file in TensorRT.runner.files if file.name == "build_engine.py")
ONNX = ("model.onnx", "model.fp16.onnx", "model.int8.onnx", "model.int8-fp16.onnx")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name in ONNX:
        (folder / name).write_text(name)
    return folder


def builder(tools: Path, release: str = "10.3") -> Builder:
    recorded_trtexec.install(tools, release)
    return Builder()


def nvidia_smi(tools: Path, line: str) -> None:
    program = tools / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{line}'\n")
    program.chmod(0o755)


@pytest.mark.parametrize("release", recorded_trtexec.BANNERS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_command_matches_the_tensorrt_release(tools: Path, bundle: Path, release: str, precision: str) -> None:
    result = builder(tools, release)
    instance = result.prepare(bundle / "model.onnx", bundle / "engines", precision)
    assert instance.built
    assert instance.engine.read_bytes() == b"ftrt engine"
    assert len(recorded_trtexec.calls(tools)) == 1


def test_matching_engine_is_reused(tools: Path, bundle: Path) -> None:
    result = builder(tools)
    first = result.build(bundle / "model.onnx", "fp16", bundle / "engines")
    second = result.build(bundle / "model.onnx", "fp16", bundle / "engines")
    assert first == (bundle / "engines" / "model.fp16.engine", True)
    assert second == (first[0], False)
    assert len(recorded_trtexec.calls(tools)) == 1
    record = json.loads(first[0].with_suffix(".engine.json").read_text())
    assert record["key"]["tensorrt"] == "10.3.0"
    assert record["key"]["flags"] == ["--fp16"]
    assert result.build(bundle / "model.onnx", "fp16", bundle / "engines", force=True)[1]


@pytest.mark.parametrize("change", ["onnx", "tensorrt", "driver", "engine", "record"])
def test_engine_of_other_inputs_is_built_again(tools: Path, bundle: Path, change: str) -> None:
    nvidia_smi(tools, "Orin (nvgpu), 540.4.0")
    engine, _ = builder(tools).build(bundle / "model.onnx", "fp16", bundle / "engines")
    release = "10.3"
    if change == "onnx":
        (bundle / "model.onnx").write_text("another network")
    elif change == "tensorrt":
        release = "8.5"
    elif change == "driver":
        nvidia_smi(tools, "Orin (nvgpu), 540.5.0")
    elif change == "engine":
        engine.write_bytes(b"ftrt")
    else:
        engine.with_suffix(".engine.json").write_text('{"key": ')
    again = builder(tools, release)
    assert again.build(bundle / "model.onnx", "fp16", bundle / "engines") == (engine, True)
    assert again.build(bundle / "model.onnx", "fp16", bundle / "engines") == (engine, False)


def test_timing_cache_is_reused_on_the_same_board_only(tools: Path, bundle: Path) -> None:
    engines = bundle / "engines"
    nvidia_smi(tools, "Orin (nvgpu), 540.4.0")
    for _ in range(2):
        builder(tools).build(bundle / "model.onnx", "fp16", engines, force=True)
    (cache,) = engines.glob("timing-*.cache")
    assert cache.read_text() == "timed\n" * 2
    nvidia_smi(tools, "Xavier, 35.4.1")
    builder(tools).build(bundle / "model.onnx", "fp16", engines)
    assert len(list(engines.glob("timing-*.cache"))) == 2


def test_a_build_that_fails_leaves_the_engine_before_it(tools: Path, bundle: Path) -> None:
    result = builder(tools)
    engine, _ = result.build(bundle / "model.onnx", "fp16", bundle / "engines")
    before = {path: path.read_bytes() for path in (bundle / "engines").iterdir() if path.suffix != ".log"}
    (bundle / "model.onnx").write_text("broken")
    with pytest.raises(EngineError, match=r"exit code 1;.*\.log: .*Failed to parse onnx file"):
        result.build(bundle / "model.onnx", "fp16", bundle / "engines")
    assert {path: path.read_bytes() for path in (bundle / "engines").iterdir() if path.suffix != ".log"} == before
    assert engine.is_file()


def test_build_without_output_fails(tools: Path, bundle: Path) -> None:
    result = builder(tools)
    (tools / "engine").write_bytes(b"")
    with pytest.raises(EngineError, match=r"\.log$"):
        result.build(bundle / "model.onnx", "fp16", bundle / "engines")
    assert not list((bundle / "engines").glob("*.engine*"))


def test_a_build_that_hangs_is_ended(tools: Path, bundle: Path) -> None:
    result = builder(tools)
    (tools / "trtexec").write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(EngineError, match=r"0\.2 s"):
        result.build(bundle / "model.onnx", "fp16", bundle / "engines", timeout_s=0.2)
    assert not list((bundle / "engines").glob(".*"))


def write_manifest(bundle: Path, shipped: str, *other_precisions: str) -> None:
    (bundle / "manifest.json").write_text(
        json.dumps({"precision": {"shipped": shipped, "other_precisions": other_precisions}})
    )


def test_every_precision_that_ships_may_be_built(tools: Path, bundle: Path) -> None:
    model = bundle / "model.onnx"
    result = builder(tools, "11.4")
    assert [path.name for path in result.onnx_files(model).values()] == [
        "model.onnx", "model.fp16.onnx", "model.int8-fp16.onnx"
    ]  # fmt: skip
    assert result.onnx_files(bundle / "model.int8.onnx") == result.onnx_files(model)
    assert result.onnx_files(model, "fp16") == {"fp16": bundle / "model.fp16.onnx"}
    (bundle / "model.int8-fp16.onnx").unlink()
    assert list(result.onnx_files(model)) == ["fp32", "fp16"]
    with pytest.raises(EngineError, match=r"model\.int8-fp16\.onnx.*TensorRT.*11\.4\.0") as caught:
        result.onnx_files(model, "int8")
    assert caught.value.exit_code == 3


def test_precision_left_out_of_the_manifest_is_built_only_on_request(tools: Path, bundle: Path) -> None:
    model = bundle / "model.onnx"
    result = builder(tools, "10.3")
    write_manifest(bundle, "int8", "float32")  # TensorRT 10 could build fp16 from model.onnx
    assert list(result.onnx_files(model)) == ["fp32", "int8"]
    write_manifest(bundle, "float16")
    assert list(result.onnx_files(model)) == ["fp16"]
    assert list(result.onnx_files(model, "int8")) == ["int8"]
    (bundle / "manifest.json").write_text('{"precision": {"shipped"')
    assert list(result.onnx_files(model)) == ["fp32", "fp16", "int8"]


def measured(tools: Path) -> list[str]:
    """Precisions of the engines that were run, in order."""
    return [call.split(".engine")[0].rsplit(".", 1)[1] for call in recorded_trtexec.calls(tools) if "--load" in call]


def test_the_fastest_precision_is_kept_with_its_figures(tools: Path, bundle: Path) -> None:
    result = builder(tools)
    recorded_trtexec.compute_ms(tools, fp32=1.2, fp16=0.5, int8=0.6)
    engines = bundle / "engines"
    instance = result.prepare(bundle / "model.onnx", engines)
    assert instance[:3] == (engines / "model.fp16.engine", True, "fp16")
    assert instance.reason == (
        "fp16 is faster than fp32 (ratio 0.43, 95 % interval 0.42 to 0.44), "
        "int8 is not significantly faster than fp16 (ratio 1.19, 95 % interval 1.15 to 1.22); "
        "medians of 7 interleaved rounds: fp32 1.23 ms, fp16 0.53 ms, int8 0.63 ms"
    )
    assert measured(tools) == ["fp32", "fp16", "int8"] * 7
    record = json.loads((engines / "model.choice.json").read_text())
    assert (record["precision"], record["reason"]) == ("fp16", instance.reason)
    assert record["rounds_ms"]["int8"] == [pytest.approx(0.63)] * 7
    assert {name: key["tensorrt"] for name, key in record["key"].items()} == dict.fromkeys(PRECISIONS, "10.3.0")


def test_choice_is_kept_until_a_new_one_is_requested(tools: Path, bundle: Path) -> None:
    result = builder(tools)
    recorded_trtexec.compute_ms(tools, int8=0.5)
    first = result.prepare(bundle / "model.onnx", bundle / "engines")
    before = len(recorded_trtexec.calls(tools))
    recorded_trtexec.compute_ms(tools, int8=2.0)
    again = result.prepare(bundle / "model.onnx", bundle / "engines")
    assert again == first._replace(built=False)
    assert len(recorded_trtexec.calls(tools)) == before
    assert result.prepare(bundle / "model.onnx", bundle / "engines", force=True).precision == "fp32"


@pytest.mark.parametrize("change", ["onnx", "tensorrt", "driver", "form", "record"])
def test_choice_for_other_inputs_is_measured_again(tools: Path, bundle: Path, change: str) -> None:
    nvidia_smi(tools, "Orin (nvgpu), 540.4.0")
    result = builder(tools)
    recorded_trtexec.compute_ms(tools, int8=0.5)
    assert result.prepare(bundle / "model.onnx", bundle / "engines").precision == "int8"
    release = "10.3"
    if change == "onnx":
        (bundle / "model.int8.onnx").write_text("another network")
    elif change == "tensorrt":
        release = "8.5"
    elif change == "driver":
        nvidia_smi(tools, "Orin (nvgpu), 540.5.0")
    elif change == "form":
        (bundle / "model.int8.onnx").unlink()
    else:
        (bundle / "engines/model.choice.json").write_text('{"key": ')
    again = builder(tools, release)
    recorded_trtexec.compute_ms(tools, fp16=0.4)
    assert again.prepare(bundle / "model.onnx", bundle / "engines").precision == "fp16"


def test_requested_precision_is_not_measured(tools: Path, bundle: Path) -> None:
    result = builder(tools).prepare(bundle / "model.onnx", bundle / "engines", "int8")
    assert result == (bundle / "engines/model.int8.engine", True, "int8", "it was asked for")
    assert measured(tools) == []


def test_a_precision_that_cannot_be_built_is_left_out(tools: Path, bundle: Path) -> None:
    result = builder(tools)
    (bundle / "model.int8.onnx").write_text("broken")
    instance = result.prepare(bundle / "model.onnx", bundle / "engines")
    assert instance.precision == "fp32"
    assert "int8 failed: trtexec failed with exit code 1" in instance.reason
    assert set(measured(tools)) == {"fp32", "fp16"}
    (bundle / "model.onnx").write_text("broken")
    with pytest.raises(EngineError, match=r"fp32 failed: .*fp16 failed: .*int8 failed: "):
        result.prepare(bundle / "model.onnx", bundle / "engines", force=True)


def test_an_old_release_is_refused(tools: Path) -> None:
    program = recorded_trtexec.install(tools, "8.5")
    program.write_text(program.read_text().replace("v8502", "v8201"))
    with pytest.raises(EngineError, match=r"TensorRT 8\.2\.1 .*8\.5"):
        Builder()


def test_trtexec_without_a_version_is_refused(tools: Path) -> None:
    program = tools / "trtexec"
    program.write_text("#!/bin/sh\necho something else\n")
    program.chmod(0o755)
    with pytest.raises(EngineError, match=f"{program}.*libnvinfer-bin"):
        Builder()


def test_board_is_described(tmp_path: Path, tools: Path) -> None:
    nvidia_smi(tools, "Orin (nvgpu), 540.4.0")
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    (tmp_path / "etc").mkdir()
    release = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 2025\n"
    (tmp_path / "etc/nv_tegra_release").write_text(release)
    assert describe_device(tmp_path) == {
        "device": "NVIDIA Jetson Orin Nano Developer Kit",
        "gpu": "Orin (nvgpu)",
        "driver": "540.4.0",
        "l4t": "R36.4.3",
    }


def test_unknown_board_facts_are_omitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(describe_device(tmp_path).values()) == {None}


def run(*arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, str(SCRIPT), *arguments], capture_output=True, text=True, check=False, timeout=600)


def test_the_script_builds_and_prints_the_path(tools: Path, bundle: Path) -> None:
    recorded_trtexec.install(tools, "10.3")
    recorded_trtexec.compute_ms(tools, int8=0.5)
    done = run("--bundle", str(bundle))
    assert (done.returncode, done.stdout) == (0, f"{bundle}/engines/model.int8.engine\n")
    assert "TensorRT 10.3.0, int8, from model.int8.onnx\n" in done.stderr
    assert "TensorRT 10.3.0, int8: fp16 is not significantly faster than fp32 (ratio 1.00, " in done.stderr
    assert "int8 is faster than fp32 (" in done.stderr
    assert done.stderr.endswith("built\n")
    again = run("--bundle", str(bundle))
    assert (again.stdout, "nothing to build" in again.stderr) == (done.stdout, True)
    forced = run("--bundle", str(bundle), "--precision", "fp16")
    assert forced.stdout == f"{bundle}/engines/model.fp16.engine\n"
    assert "TensorRT 10.3.0, fp16: it was asked for\n" in forced.stderr


def test_script_prints_the_command_without_running_it(tools: Path, bundle: Path) -> None:
    recorded_trtexec.install(tools, "11.4")
    done = run("--bundle", str(bundle), "--precision", "fp16", "--show")
    assert done.stdout.startswith(f"{tools}/trtexec --onnx={bundle}/model.fp16.onnx --saveEngine=")
    every = run("--bundle", str(bundle), "--show").stdout.splitlines()
    assert [line.split("--onnx=")[1].split()[0] for line in every] == [
        f"{bundle}/{name}" for name in ("model.onnx", "model.fp16.onnx", "model.int8-fp16.onnx")
    ]
    assert recorded_trtexec.calls(tools) == []


def test_script_names_missing_tools(tools: Path, bundle: Path) -> None:
    without = run("--bundle", str(bundle))
    assert (without.returncode, "trtexec" in without.stderr) == (5, True)
    recorded_trtexec.install(tools, "11.4")
    (bundle / "model.fp16.onnx").unlink()
    missing = run("--bundle", str(bundle), "--precision", "fp16")
    assert (missing.returncode, "model.fp16.onnx" in missing.stderr) == (3, True)
