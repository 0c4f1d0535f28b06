"""How engines are built on a board: the exact commands, and what is kept or built again.

No TensorRT is here: a program prints and writes what real ones did (see ``recorded_trtexec``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeprune.profile.runners import build_engine
from edgeprune.profile.runners.build_engine import Builder, EngineError, Version
from tests.profile import recorded_trtexec

SCRIPT = Path(build_engine.__file__)
RELEASES = {"8.5": Version(8, 5, 2), "10.3": Version(10, 3), "11.4": Version(11, 4)}
ONNX = ("model.onnx", "model.fp16.onnx", "model.int8.onnx", "model.int8-fp16.onnx")

COMMON = "trtexec --onnx={onnx} --saveEngine=e --timingCacheFile=c --profilingVerbosity=detailed"
BUILD = {
    ("8.5", "fp32"): ("model.onnx", "--buildOnly"),
    ("8.5", "fp16"): ("model.onnx", "--fp16 --buildOnly"),
    ("8.5", "int8"): ("model.int8.onnx", "--int8 --fp16 --buildOnly"),
    ("10.3", "fp32"): ("model.onnx", "--skipInference"),
    ("10.3", "fp16"): ("model.onnx", "--fp16 --skipInference"),
    ("10.3", "int8"): ("model.int8.onnx", "--int8 --fp16 --skipInference"),
    ("11.4", "fp32"): ("model.onnx", "--skipInference"),
    ("11.4", "fp16"): ("model.fp16.onnx", "--skipInference"),
    ("11.4", "int8"): ("model.int8-fp16.onnx", "--skipInference"),
}


@pytest.mark.parametrize(("release", "precision"), BUILD)
def test_the_command_that_builds(release: str, precision: str) -> None:
    onnx, flags = BUILD[release, precision]
    version = RELEASES[release]
    assert build_engine.onnx_name(version, precision) == onnx
    argv = build_engine.build_argv("trtexec", version, precision, onnx=onnx, engine="e", timing_cache="c")
    assert argv == f"{COMMON.format(onnx=onnx)} {flags}".split()


MEASURE = "trtexec --loadEngine=e --warmUp=500 --duration=10 --iterations=10 --percentile=50,90,95,99 --exportTimes=t"
FLAGS = {
    "8.5": "--useCudaGraph --useSpinWait",
    "10.3": "--useCudaGraph --useSpinWait",
    "11.4": "--includeDataTransfers",
}
LAYERS = {
    "8.5": "--exportProfile=p --separateProfileRun --exportLayerInfo=l",
    "10.3": "--exportProfile=p --separateProfileRun --exportLayerInfo=l",
    "11.4": "--exportProfile=p --exportLayerInfo=l",
}


@pytest.mark.parametrize("release", RELEASES)
def test_the_command_that_measures(release: str) -> None:
    version = RELEASES[release]
    flags = build_engine.measure_flags(version)
    assert build_engine.measure_argv("trtexec", version, "e", "t", flags=flags) == f"{MEASURE} {FLAGS[release]}".split()
    with_layers = build_engine.measure_argv("trtexec", version, "e", "t", flags=flags, profile="p", layers="l")
    assert with_layers == f"{MEASURE} {FLAGS[release]} {LAYERS[release]}".split()


@pytest.mark.parametrize(
    ("release", "flags"),
    [("8.5", "--noDataTransfers"), ("10.3", "--noDataTransfers"), ("11.4", "--noCudaGraph --noSpinWait")],
)
def test_the_opposite_of_every_normalised_setting(release: str, flags: str) -> None:
    version = RELEASES[release]
    assert build_engine.measure_flags(version, transfers=False, cuda_graph=False, spin=False) == flags.split()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v8502] # trtexec --help", Version(8, 5, 2)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v8412] # trtexec", Version(8, 4, 12)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # /usr/src/tensorrt/bin/trtexec", Version(10, 3, 0)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v100600] [b26] # trtexec --help", Version(10, 6, 0)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v101602] [b10] # trtexec", Version(10, 16, 2)),
        ("a warning first\n&&&& RUNNING TensorRT.trtexec [TensorRT v110201] [b3] # trtexec", Version(11, 2, 1)),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v11.1.0.106] [b48] # trtexec", Version(11, 1, 0)),
        ("&&&& RUNNING TensorRT.trtexec # trtexec", None),
        ("", None),
    ],
)
def test_versions_in_banners(text: str, version: Version | None) -> None:
    assert build_engine.parse_banner(text) == version


def test_versions_of_packages() -> None:
    assert build_engine.parse_package("10.3.0.26-1+cuda12.5") == Version(10, 3, 0)
    assert build_engine.parse_package("8.5.2-1+cuda11.4") == Version(8, 5, 2)
    assert build_engine.parse_package("no packages found matching libnvinfer-bin") is None


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that alone is on PATH, with the system's own behind it."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return folder


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


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("precision", build_engine.PRECISIONS)
def test_every_release_takes_its_own_command(tools: Path, bundle: Path, release: str, precision: str) -> None:
    found = builder(tools, release)
    onnx, _ = found.onnx(bundle, precision)
    engine, built = found.build(onnx, precision, bundle / "engines")
    assert built
    assert engine.read_bytes() == b"ftrt engine"
    assert len(recorded_trtexec.calls(tools)) == 1


def test_an_engine_that_fits_is_kept(tools: Path, bundle: Path) -> None:
    found = builder(tools)
    first = found.build(bundle / "model.onnx", "fp16", bundle / "engines")
    second = found.build(bundle / "model.onnx", "fp16", bundle / "engines")
    assert first == (bundle / "engines" / "model.fp16.engine", True)
    assert second == (first[0], False)
    assert len(recorded_trtexec.calls(tools)) == 1
    record = json.loads(first[0].with_suffix(".engine.json").read_text())
    assert record["key"]["tensorrt"] == "10.3.0"
    assert record["key"]["flags"] == ["--fp16"]
    assert found.build(bundle / "model.onnx", "fp16", bundle / "engines", force=True)[1]


@pytest.mark.parametrize("change", ["onnx", "tensorrt", "driver", "engine", "record"])
def test_an_engine_of_anything_else_is_built_again(tools: Path, bundle: Path, change: str) -> None:
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


def test_the_timing_cache_goes_on_for_the_same_board_and_is_not_shared_with_another(tools: Path, bundle: Path) -> None:
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
    found = builder(tools)
    engine, _ = found.build(bundle / "model.onnx", "fp16", bundle / "engines")
    before = {path: path.read_bytes() for path in (bundle / "engines").iterdir() if path.suffix != ".log"}
    (bundle / "model.onnx").write_text("broken")
    with pytest.raises(EngineError, match=r"exit code 1; its output is in .*: .*Failed to parse onnx file"):
        found.build(bundle / "model.onnx", "fp16", bundle / "engines")
    assert {path: path.read_bytes() for path in (bundle / "engines").iterdir() if path.suffix != ".log"} == before
    assert engine.is_file()


def test_a_build_that_writes_nothing_fails(tools: Path, bundle: Path) -> None:
    found = builder(tools)
    (tools / "engine").write_bytes(b"")
    with pytest.raises(EngineError, match="wrote no engine"):
        found.build(bundle / "model.onnx", "fp16", bundle / "engines")
    assert not list((bundle / "engines").glob("*.engine*"))


def test_a_build_that_hangs_is_ended(tools: Path, bundle: Path) -> None:
    found = builder(tools)
    (tools / "trtexec").write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(EngineError, match=r"ended after 0\.2 s"):
        found.build(bundle / "model.onnx", "fp16", bundle / "engines", timeout_s=0.2)
    assert not list((bundle / "engines").glob(".*"))


def test_the_lowest_precision_of_the_bundle_is_taken(tools: Path, bundle: Path) -> None:
    found = builder(tools, "11.4")
    assert found.onnx(bundle, None) == (bundle / "model.int8-fp16.onnx", "int8")
    (bundle / "model.int8-fp16.onnx").unlink()
    assert found.onnx(bundle, None) == (bundle / "model.fp16.onnx", "fp16")
    with pytest.raises(EngineError, match=r"has no model\.int8-fp16\.onnx, which TensorRT 11\.4\.0 needs") as caught:
        found.onnx(bundle, "int8")
    assert caught.value.exit_code == 3


def test_an_old_release_is_refused(tools: Path) -> None:
    program = recorded_trtexec.install(tools, "8.5")
    program.write_text(program.read_text().replace("v8502", "v8201"))
    with pytest.raises(EngineError, match=r"TensorRT 8\.2\.1 is too old: 8\.5"):
        Builder()


def test_a_trtexec_that_tells_no_version_is_refused(tools: Path) -> None:
    program = tools / "trtexec"
    program.write_text("#!/bin/sh\necho something else\n")
    program.chmod(0o755)
    with pytest.raises(EngineError, match="prints no version"):
        Builder()


def test_what_a_board_says_of_itself(tmp_path: Path, tools: Path) -> None:
    nvidia_smi(tools, "Orin (nvgpu), 540.4.0")
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin Nano Developer Kit\0")
    (tmp_path / "etc").mkdir()
    release = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, DATE: Wed Jan  8 2025\n"
    (tmp_path / "etc/nv_tegra_release").write_text(release)
    assert build_engine.describe_device(tmp_path) == {
        "device": "NVIDIA Jetson Orin Nano Developer Kit",
        "gpu": "Orin (nvgpu)",
        "driver": "540.4.0",
        "l4t": "R36.4.3",
    }


def test_what_is_not_said_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(build_engine.describe_device(tmp_path).values()) == {None}


def test_times_of_every_inference() -> None:
    times = build_engine.read_times(json.dumps(recorded_trtexec.TIMES))
    assert len(times) == 120
    assert times[0] == {"latency_ms": 0.82, "compute_ms": 0.8}


def test_times_of_older_releases() -> None:
    text = (
        '[ { "startEnqMs" : 1, "endEnqMs" : 2, "startInMs" : 1, "endInMs" : 2, "startComputeMs" : 2, '
        '"endComputeMs" : 3, "startOutMs" : 3, "endOutMs" : 4, "inMs" : 1, "computeMs" : 1.5, "outMs" : 1, '
        '"latencyMs" : 3.5, "endToEndMs" : 4 } ]'
    )
    assert build_engine.read_times(text) == [{"latency_ms": 3.5, "compute_ms": 1.5}]


GOOD = json.dumps(recorded_trtexec.TIMES[:2])


@pytest.mark.parametrize(
    "text",
    [
        *(GOOD[:end] for end in range(0, len(GOOD), 17)),
        "[]",
        "{}",
        "null",
        "[1]",
        '[{"latencyMs": 1}]',
        '[{"latencyMs": 1, "computeMs": "1"}]',
        '[{"latencyMs": 1, "computeMs": 0}]',
        '[{"latencyMs": NaN, "computeMs": 1}]',
        '[{"latencyMs": true, "computeMs": 1}]',
    ],
)
def test_broken_times_are_refused(text: str) -> None:
    with pytest.raises(EngineError, match="times that trtexec exported"):
        build_engine.read_times(text)


def run(*arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, str(SCRIPT), *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_the_script_builds_and_prints_the_path(tools: Path, bundle: Path) -> None:
    recorded_trtexec.install(tools, "10.3")
    done = run("--bundle", str(bundle))
    assert (done.returncode, done.stdout) == (0, f"{bundle}/engines/model.int8.engine\n")
    assert "TensorRT 10.3.0, int8, from model.int8.onnx\nbuilt\n" in done.stderr
    again = run("--bundle", str(bundle))
    assert (again.stdout, "nothing to build" in again.stderr) == (done.stdout, True)


def test_the_script_shows_the_command_and_runs_nothing(tools: Path, bundle: Path) -> None:
    recorded_trtexec.install(tools, "11.4")
    done = run("--bundle", str(bundle), "--precision", "fp16", "--show")
    assert done.stdout.startswith(f"{tools}/trtexec --onnx={bundle}/model.fp16.onnx --saveEngine=")
    assert recorded_trtexec.calls(tools) == []


def test_the_script_says_what_is_missing(tools: Path, bundle: Path) -> None:
    without = run("--bundle", str(bundle))
    assert (without.returncode, without.stderr.startswith("error: no trtexec on PATH")) == (5, True)
    recorded_trtexec.install(tools, "11.4")
    (bundle / "model.fp16.onnx").unlink()
    missing = run("--bundle", str(bundle), "--precision", "fp16")
    assert (missing.returncode, "has no model.fp16.onnx" in missing.stderr) == (3, True)
