"""How trtexec of each version is called, and what is read from it."""

from __future__ import annotations

import json

import pytest

from edgeprune.backends.tensorrt.runner_parts.engine_errors import EngineError
from edgeprune.backends.tensorrt.runner_parts.trtexec_commands import (
    TrtexecRun,
    Version,
    build_argv,
    measure_argv,
    measure_flags,
    onnx_name,
)
from edgeprune.backends.tensorrt.runner_parts.trtexec_program import parse_banner, parse_package
from edgeprune.backends.tensorrt.runner_parts.trtexec_results import read_times
from tests.profile import recorded_trtexec

RELEASES = {"8.5": Version(8, 5, 2), "10.3": Version(10, 3), "11.4": Version(11, 4)}

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
    assert onnx_name(version, precision) == onnx
    argv = build_argv("trtexec", version, precision, onnx=onnx, engine="e", timing_cache="c")
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
    flags = measure_flags(version)
    assert (
        measure_argv("trtexec", version, "e", "t", flags=flags, run=TrtexecRun())
        == f"{MEASURE} {FLAGS[release]}".split()
    )
    with_samples = measure_argv(
        "trtexec", version, "e", "t", flags=flags, run=TrtexecRun(inputs="input:i", outputs="o")
    )
    assert with_samples == f"{MEASURE} {FLAGS[release]} --loadInputs=input:i --exportOutput=o".split()
    with_layers = measure_argv("trtexec", version, "e", "t", flags=flags, run=TrtexecRun(profile="p", layers="l"))
    assert with_layers == f"{MEASURE} {FLAGS[release]} {LAYERS[release]}".split()


@pytest.mark.parametrize(
    ("release", "flags"),
    [("8.5", "--noDataTransfers"), ("10.3", "--noDataTransfers"), ("11.4", "--noCudaGraph --noSpinWait")],
)
def test_the_opposite_of_every_normalised_setting(release: str, flags: str) -> None:
    version = RELEASES[release]
    assert measure_flags(version, transfers=False, cuda_graph=False, spin=False) == flags.split()


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
    assert parse_banner(text) == version


def test_versions_of_packages() -> None:
    assert parse_package("10.3.0.26-1+cuda12.5") == Version(10, 3, 0)
    assert parse_package("8.5.2-1+cuda11.4") == Version(8, 5, 2)
    assert parse_package("no packages found matching libnvinfer-bin") is None


def test_times_of_every_inference() -> None:
    times = read_times(json.dumps(recorded_trtexec.TIMES))
    assert len(times) == 120
    assert times[0] == {"latency_ms": 0.82, "compute_ms": 0.8}


def test_times_of_older_releases() -> None:
    text = (
        '[ { "startEnqMs" : 1, "endEnqMs" : 2, "startInMs" : 1, "endInMs" : 2, "startComputeMs" : 2, '
        '"endComputeMs" : 3, "startOutMs" : 3, "endOutMs" : 4, "inMs" : 1, "computeMs" : 1.5, "outMs" : 1, '
        '"latencyMs" : 3.5, "endToEndMs" : 4 } ]'
    )
    assert read_times(text) == [{"latency_ms": 3.5, "compute_ms": 1.5}]


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
    with pytest.raises(EngineError, match=r"times .*trtexec"):
        read_times(text)
