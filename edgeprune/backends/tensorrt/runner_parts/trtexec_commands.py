"""Command lines of trtexec for each version of TensorRT.

Sources of the flags:
  8.5.2  prints "Build only: Disabled", several percentiles, CUDA graph and spin-wait off, data transfers on
  8.6    samples/common/sampleOptions.cpp: "--buildOnly flag has been deprecated by --skipInference flag."
  11.0   docs.nvidia.com/deeplearning/tensorrt, "Migrating trtexec Usage from TensorRT 10.x to 11.x": no precision flags
  11.1   samples/common/sampleOptions.cpp: --includeDataTransfers, --noCudaGraph, --noSpinWait; their opposites and
         --separateProfileRun no longer have an effect
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Version(NamedTuple):
    """A version of TensorRT."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


PRECISIONS = ("fp32", "fp16", "int8")
STRONGLY_TYPED = Version(11, 0)
_SKIP_INFERENCE = Version(8, 6)


def onnx_name(version: Version, precision: str, stem: str = "model") -> str:
    """Return the name of the ONNX file from which ``precision`` is built.

    TensorRT 11 uses the types in the ONNX file, so fp16 needs a separate file.
    """
    if precision == "fp32":
        return f"{stem}.onnx"
    if precision == "fp16":
        return f"{stem}.fp16.onnx" if version >= STRONGLY_TYPED else f"{stem}.onnx"
    return f"{stem}.int8-fp16.onnx" if version >= STRONGLY_TYPED else f"{stem}.int8.onnx"


def precision_flags(version: Version, precision: str) -> list[str]:
    """Flags that enable ``precision``; none for TensorRT 11 and later.

    A file with Q/DQ needs ``--int8``. Its operators without Q/DQ run in fp16.
    """
    if version >= STRONGLY_TYPED:
        return []
    return {"fp32": [], "fp16": ["--fp16"], "int8": ["--int8", "--fp16"]}[precision]


def build_argv(
    trtexec: str, version: Version, precision: str, *, onnx: str, engine: str, timing_cache: str
) -> list[str]:
    """Return the command that builds ``engine`` from ``onnx``."""
    return [
        trtexec,
        f"--onnx={onnx}",
        f"--saveEngine={engine}",
        f"--timingCacheFile={timing_cache}",
        "--profilingVerbosity=detailed",
        *precision_flags(version, precision),
        "--skipInference" if version >= _SKIP_INFERENCE else "--buildOnly",
    ]


def measure_flags(version: Version, *, transfers: bool = True, cuda_graph: bool = True, spin: bool = True) -> list[str]:
    """Return flags with which all versions of TensorRT measure the same.

    Args:
        version: Version of TensorRT.
        transfers: Whether inputs and outputs are copied between host and device, as in an application.
        cuda_graph: Whether the engine is launched as a CUDA graph.
        spin: Whether the host spins while it waits for the GPU.
    """
    if version >= STRONGLY_TYPED:
        enabled = {"--includeDataTransfers": transfers, "--noCudaGraph": not cuda_graph, "--noSpinWait": not spin}
    else:
        enabled = {"--noDataTransfers": not transfers, "--useCudaGraph": cuda_graph, "--useSpinWait": spin}
    return [flag for flag, is_enabled in enabled.items() if is_enabled]


class TrtexecRun(NamedTuple):
    """Settings of one run of trtexec that measures an engine.

    Attributes:
        warm_up_ms: Duration of the warm-up in milliseconds, which the exported times do not include.
        duration_s: Minimum duration of the measurement in seconds.
        iterations: Minimum number of inferences.
        profile: Path for the times of all layers. They come from a separate run, because the profiler slows it down.
        layers: Path for the descriptions of all layers.
        inputs: Raw values of the input as ``NAME:FILE``; None for random values.
        outputs: Path for the values of all outputs.
    """

    warm_up_ms: int = 500
    duration_s: int = 10
    iterations: int = 10
    profile: str | None = None
    layers: str | None = None
    inputs: str | None = None
    outputs: str | None = None


def measure_argv(
    trtexec: str, version: Version, engine: str, times: str, *, flags: Sequence[str], run: TrtexecRun
) -> list[str]:
    """Return the command that measures ``engine``.

    Args:
        trtexec: Path of trtexec.
        version: Version of TensorRT.
        engine: Path of the engine file.
        times: Path for the times of all inferences.
        flags: Result of ``measure_flags``.
        run: Settings of the run.
    """
    argv = [
        trtexec,
        f"--loadEngine={engine}",
        f"--warmUp={run.warm_up_ms}",
        f"--duration={run.duration_s}",
        f"--iterations={run.iterations}",
        "--percentile=50,90,95,99",
        f"--exportTimes={times}",
        *flags,
    ]
    if run.profile is not None:
        argv.append(f"--exportProfile={run.profile}")
        if version < STRONGLY_TYPED:
            argv.append("--separateProfileRun")
    if run.layers is not None:
        argv.append(f"--exportLayerInfo={run.layers}")
    if run.inputs is not None:
        argv.append(f"--loadInputs={run.inputs}")
    if run.outputs is not None:
        argv.append(f"--exportOutput={run.outputs}")
    return argv
