"""How trtexec of each version of TensorRT is called, and what it answers. Lies beside the scripts that use it.

Sources of the flags:
  8.5.2  prints "Build only: Disabled", several percentiles, CUDA graph and spin-wait off, data transfers on
  8.6    samples/common/sampleOptions.cpp: "--buildOnly flag has been deprecated by --skipInference flag."
  11.0   docs.nvidia.com/deeplearning/tensorrt, "Migrating trtexec Usage from TensorRT 10.x to 11.x": no precision flags
  11.1   samples/common/sampleOptions.cpp: --includeDataTransfers, --noCudaGraph, --noSpinWait; their opposites and
         --separateProfileRun do nothing any more
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Version(NamedTuple):
    """A version of TensorRT."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


PRECISIONS = ("fp32", "fp16", "int8")
USUAL_PLACE = "/usr/src/tensorrt/bin/trtexec"
_OLDEST = Version(8, 5)
_SKIP_INFERENCE = Version(8, 6)
STRONGLY_TYPED = Version(11, 0)

_QUERY_TIMEOUT_S = 60.0
_ERROR_LINES = 5


class EngineError(Exception):
    """The engine cannot be built or run; ``exit_code`` is what the script ends with."""

    def __init__(self, message: str, exit_code: int = 5) -> None:
        super().__init__(message)
        self.exit_code = exit_code


# --- recipes: what a version of TensorRT is given -----------------------------------------------------------------


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


def parse_bindings(text: str) -> tuple[list[str], list[str]]:
    """Names of inputs and of outputs, in the order of the network, by what trtexec prints of a loaded engine."""
    found = re.findall(r"Created (input|output) binding for (.+) with dimensions", text)
    inputs, outputs = ([name for kind, name in found if kind == wanted] for wanted in ("input", "output"))
    return inputs, outputs


def read_outputs(text: str) -> dict[str, tuple[tuple[int, ...], list[float]]]:
    """By name, shape and values that ``--exportOutput`` wrote; NaN and infinity as C++ prints them.

    Raises:
        EngineError: It is something else.
    """
    text = re.sub(r"(?<=[\s,\[])-?nan\b", "NaN", re.sub(r"(?<=[\s,\[-])inf\b", "Infinity", text))
    try:
        found = {}
        for entry in json.loads(text):
            shape = tuple(int(length) for length in entry["dimensions"].split("x"))
            found[str(entry["name"])] = shape, [float(value) for value in entry["values"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise EngineError(f"outputs that trtexec exported cannot be read: {problem!r}") from None
    for name, (shape, values) in found.items():
        if math.prod(shape) != len(values):
            raise EngineError(f"trtexec exported {len(values)} values of {name}, which has the shape {shape}")
    return found


# --- what is on this machine --------------------------------------------------------------------------------------


def find_trtexec() -> str | None:
    """The program: on PATH, or where JetPack puts it."""
    return shutil.which("trtexec") or (USUAL_PLACE if os.access(USUAL_PLACE, os.X_OK) else None)


def parse_banner(text: str) -> Version | None:
    """TensorRT's version in what trtexec prints first: ``[TensorRT v8502]``, ``v100300``, ``v11.1.0.106``."""
    found = re.search(r"TensorRT\.trtexec \[TensorRT v(\d+(?:\.\d+)*)\]", text)
    return None if found is None else _version(found.group(1))


def parse_package(text: str) -> Version | None:
    """The version in a Debian package's: ``10.3.0.26-1+cuda12.5``."""
    found = re.match(r"\s*(\d+\.\d+\.\d+)", text)
    return None if found is None else _version(found.group(1))


def _version(text: str) -> Version:
    if "." in text:
        return Version(*[*map(int, text.split(".")), 0][:3])
    number = int(text)
    if number >= 100000:  # from 10.0 on two digits each
        return Version(number // 10000, number // 100 % 100, number % 100)
    return Version(number // 1000, number // 100 % 10, number % 100)


def find_version(trtexec: str) -> Version:
    """TensorRT's version, by the banner of ``trtexec --help``, else by its package.

    Raises:
        EngineError: Neither tells, or the version is older than 8.5.
    """
    version = parse_banner(query([trtexec, "--help"]))
    if version is None:
        version = parse_package(query(["dpkg-query", "--showformat=${Version}", "--show", "libnvinfer-bin"]))
    if version is None:
        raise EngineError(f"{trtexec} prints no version, and there is no package libnvinfer-bin")
    if version < _OLDEST:
        raise EngineError(f"TensorRT {version} is too old: 8.5 (JetPack 5.1) is the first that is supported")
    return version


def read_text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def query(argv: Sequence[str]) -> str:
    """Output of a program; empty if it cannot be run."""
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_QUERY_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")


def run(argv: Sequence[str], *, log: Path, timeout_s: float) -> str:
    """Run trtexec and return what it printed, which is in ``log`` too.

    Raises:
        EngineError: It cannot start, fails, or takes longer than ``timeout_s``; with its own error lines.
    """
    try:
        with open(str(log), "wb") as file:
            done = subprocess.run(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=timeout_s,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise EngineError(f"trtexec was ended after {timeout_s:g} s; its output is in {log}") from None
    except OSError as problem:
        raise EngineError(f"cannot run {argv[0]}: {problem}") from problem
    printed = read_text(log)
    if done.returncode != 0:
        lines = printed.splitlines()
        said = [line for line in lines if "[E]" in line or "Unknown option" in line] or lines
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise EngineError(f"trtexec failed with {how}; its output is in {log}: " + " | ".join(said[-_ERROR_LINES:]))
    return printed


def read_times(text: str) -> list[dict[str, float]]:
    """Times that ``--exportTimes`` wrote, one entry an inference, with the keys ``latency_ms`` and ``compute_ms``.

    Latency is input copy, compute and output copy. Releases name other keys differently, but not these two.

    Raises:
        EngineError: The text is cut off, is something else, or has an inference without a time.
    """
    try:
        entries = json.loads(text)
        times = [{"latency_ms": entry["latencyMs"], "compute_ms": entry["computeMs"]} for entry in entries]
    except (ValueError, TypeError, KeyError, IndexError) as problem:
        raise EngineError(f"the times that trtexec exported cannot be read: {problem!r}") from problem
    numbers = [value for entry in times for value in entry.values()]
    if not times or not all(type(value) in (int, float) and 0 < value < float("inf") for value in numbers):
        raise EngineError(f"the {len(times)} times that trtexec exported are none, or not all above 0")
    return [{name: float(value) for name, value in entry.items()} for entry in times]
