"""Command lines of trtexec for each version of TensorRT.

Sources of the flags:
  8.5.2  prints "Build only: Disabled", several percentiles, CUDA graph and spin-wait off, data transfers on
  8.6    samples/common/sampleOptions.cpp: "--buildOnly flag has been deprecated by --skipInference flag."
  11.0   docs.nvidia.com/deeplearning/tensorrt, "Migrating trtexec Usage from TensorRT 10.x to 11.x": no precision flags
  11.1   samples/common/sampleOptions.cpp: --includeDataTransfers, --noCudaGraph, --noSpinWait; their opposites and
         --separateProfileRun do nothing any more
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
    """The file of the bundle that ``precision`` is built from.

    TensorRT 11 takes the types of the ONNX file as they are, so fp16 is written into a file of its own.
    """
    if precision == "fp32":
        return f"{stem}.onnx"
    if precision == "fp16":
        return f"{stem}.fp16.onnx" if version >= STRONGLY_TYPED else f"{stem}.onnx"
    return f"{stem}.int8-fp16.onnx" if version >= STRONGLY_TYPED else f"{stem}.int8.onnx"


def precision_flags(version: Version, precision: str) -> list[str]:
    """Flags that allow ``precision``; none from TensorRT 11 on.

    With Q/DQ in the file, ``--int8`` only makes TensorRT accept it; what has no Q/DQ runs in fp16.
    """
    if version >= STRONGLY_TYPED:
        return []
    return {"fp32": [], "fp16": ["--fp16"], "int8": ["--int8", "--fp16"]}[precision]


def build_argv(
    trtexec: str, version: Version, precision: str, *, onnx: str, engine: str, timing_cache: str
) -> list[str]:
    """The command that builds ``engine`` from ``onnx``."""
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
    """Flags that make versions measure the same thing.

    Args:
        version: Of TensorRT.
        transfers: Inputs and outputs are copied between host and device, as an application does.
        cuda_graph: The engine is launched as one CUDA graph.
        spin: The host waits busily for the GPU.
    """
    if version >= STRONGLY_TYPED:
        chosen = {"--includeDataTransfers": transfers, "--noCudaGraph": not cuda_graph, "--noSpinWait": not spin}
    else:
        chosen = {"--noDataTransfers": not transfers, "--useCudaGraph": cuda_graph, "--useSpinWait": spin}
    return [flag for flag, given in chosen.items() if given]


def measure_argv(
    trtexec: str,
    version: Version,
    engine: str,
    times: str,
    *,
    flags: Sequence[str],
    warm_up_ms: int = 500,
    duration_s: int = 10,
    iterations: int = 10,
    profile: str | None = None,
    layers: str | None = None,
    inputs: str | None = None,
    outputs: str | None = None,
) -> list[str]:
    """The command that measures ``engine``.

    Args:
        trtexec: The program.
        version: Its version.
        engine: The file.
        times: Where the time of every inference goes.
        flags: Of ``measure_flags``.
        warm_up_ms: Not in ``times``.
        duration_s: Shortest measurement.
        iterations: Fewest inferences.
        profile: Where the time of every layer goes: from a run of its own, as the profiler slows a run down.
        layers: Where the description of every layer goes.
        inputs: ``NAME:FILE``, the raw values of the input; None: random ones.
        outputs: Where the values of every output go.
    """
    argv = [
        trtexec,
        f"--loadEngine={engine}",
        f"--warmUp={warm_up_ms}",
        f"--duration={duration_s}",
        f"--iterations={iterations}",
        "--percentile=50,90,95,99",
        f"--exportTimes={times}",
        *flags,
    ]
    if profile is not None:
        argv.append(f"--exportProfile={profile}")
        if version < STRONGLY_TYPED:
            argv.append("--separateProfileRun")
    if layers is not None:
        argv.append(f"--exportLayerInfo={layers}")
    if inputs is not None:
        argv.append(f"--loadInputs={inputs}")
    if outputs is not None:
        argv.append(f"--exportOutput={outputs}")
    return argv
