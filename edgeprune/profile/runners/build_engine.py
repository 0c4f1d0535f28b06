#!/usr/bin/env python3
"""Builds a TensorRT engine from the ONNX files beside this script, on the board that will run it.

Needs Python 3.8 or newer and TensorRT's trtexec (JetPack: sudo apt install tensorrt); nothing else.

    python build_engine.py                    int8 where the bundle has it, else fp16
    python build_engine.py --precision fp16
    python build_engine.py --show             print the command of trtexec, run nothing

Prints the path of the engine. An engine fits one device, one driver, one version of TensorRT and one ONNX file: it is
kept with that key beside it, and built again when the key differs. The timing cache makes a second build quick.

How trtexec is called depends on its version. Sources of the flags:
  8.5.2  prints "Build only: Disabled", several percentiles, CUDA graph and spin-wait off, data transfers on
  8.6    samples/common/sampleOptions.cpp: "--buildOnly flag has been deprecated by --skipInference flag."
  11.0   docs.nvidia.com/deeplearning/tensorrt, "Migrating trtexec Usage from TensorRT 10.x to 11.x": no precision flags
  11.1   samples/common/sampleOptions.cpp: --includeDataTransfers, --noCudaGraph, --noSpinWait; their opposites and
         --separateProfileRun do nothing any more
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Version(NamedTuple):
    """Of TensorRT."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


PRECISIONS = ("int8", "fp16", "fp32")
_OLDEST = Version(8, 5)
_SKIP_INFERENCE = Version(8, 6)
_STRONGLY_TYPED = Version(11, 0)

_USUAL_PLACE = "/usr/src/tensorrt/bin/trtexec"
_BUILD_TIMEOUT_S = 3600.0
_QUERY_TIMEOUT_S = 60.0
_ERROR_LINES = 5
_CHUNK_BYTES = 1 << 20


class EngineError(Exception):
    """The engine cannot be built or run; ``exit_code`` is what the script ends with."""

    def __init__(self, message: str, exit_code: int = 5) -> None:
        super().__init__(message)
        self.exit_code = exit_code


# --- recipes: what a version of TensorRT is given -----------------------------------------------------------------


def onnx_name(version: Version, precision: str) -> str:
    """The file of the bundle that ``precision`` is built from.

    TensorRT 11 takes the types of the ONNX file as they are, so fp16 is written into a file of its own.
    """
    if precision == "fp32":
        return "model.onnx"
    if precision == "fp16":
        return "model.fp16.onnx" if version >= _STRONGLY_TYPED else "model.onnx"
    return "model.int8-fp16.onnx" if version >= _STRONGLY_TYPED else "model.int8.onnx"


def precision_flags(version: Version, precision: str) -> list[str]:
    """Flags that allow ``precision``; none from TensorRT 11 on.

    With Q/DQ in the file, ``--int8`` only makes TensorRT accept it; what has no Q/DQ runs in fp16.
    """
    if version >= _STRONGLY_TYPED:
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
    if version >= _STRONGLY_TYPED:
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
        if version < _STRONGLY_TYPED:
            argv.append("--separateProfileRun")
    if layers is not None:
        argv.append(f"--exportLayerInfo={layers}")
    return argv


# --- what is on this machine --------------------------------------------------------------------------------------


def find_trtexec() -> str | None:
    """The program: on PATH, or where JetPack puts it."""
    return shutil.which("trtexec") or (_USUAL_PLACE if os.access(_USUAL_PLACE, os.X_OK) else None)


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
    version = parse_banner(_query([trtexec, "--help"]))
    if version is None:
        version = parse_package(_query(["dpkg-query", "--showformat=${Version}", "--show", "libnvinfer-bin"]))
    if version is None:
        raise EngineError(f"{trtexec} prints no version, and there is no package libnvinfer-bin")
    if version < _OLDEST:
        raise EngineError(f"TensorRT {version} is too old: 8.5 (JetPack 5.1) is the first that is supported")
    return version


def describe_device(root: Path = Path("/")) -> dict[str, str | None]:
    """What an engine depends on besides TensorRT: the board, the GPU, and its driver or the release of Jetson Linux."""
    model = _read(root / "proc/device-tree/model").rstrip("\0\n")
    # "# R36 (release), REVISION: 4.3, GCID: ..., BOARD: generic, ..."
    release = re.match(r"# (R\d+) \(release\), REVISION: ([\d.]+)", _read(root / "etc/nv_tegra_release"))
    smi = _query(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]).splitlines()
    gpu, _, driver = smi[0].partition(", ") if smi and ", " in smi[0] else ("", "", "")
    return {
        "device": model or None,
        "gpu": gpu or None,
        "driver": driver or None,
        "l4t": f"{release.group(1)}.{release.group(2)}" if release else None,
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _query(argv: Sequence[str]) -> str:
    """What a program prints; nothing if it cannot be run."""
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


# --- building -----------------------------------------------------------------------------------------------------


class Builder:
    """trtexec on this machine, and what engines built here depend on."""

    def __init__(self) -> None:
        """Look for trtexec.

        Raises:
            EngineError: It is not there, tells no version or is too old.
        """
        trtexec = find_trtexec()
        if trtexec is None:
            raise EngineError(
                f"no trtexec on PATH nor at {_USUAL_PLACE}: install TensorRT (JetPack: sudo apt install tensorrt)"
            )
        self.trtexec = trtexec
        self.version = find_version(trtexec)
        self.device = describe_device()

    def onnx(self, bundle: Path, precision: str | None) -> tuple[Path, str]:
        """The ONNX file for a precision and that precision; None: the lowest that the bundle has.

        Raises:
            EngineError: The bundle has no such file.
        """
        wanted = PRECISIONS if precision is None else (precision,)
        for name in wanted:
            path = bundle / onnx_name(self.version, name)
            if path.is_file():
                return path, name
        missing = ", ".join(onnx_name(self.version, name) for name in wanted)
        raise EngineError(f"{bundle} has no {missing}, which TensorRT {self.version} needs", exit_code=3)

    def command(self, onnx: Path, precision: str, engines: Path) -> list[str]:
        """The command that ``build`` runs, but for temporary names."""
        return build_argv(
            self.trtexec,
            self.version,
            precision,
            onnx=str(onnx),
            engine=str(_engine_path(onnx, precision, engines)),
            timing_cache=str(engines / self._timing_cache()),
        )

    def build(
        self,
        onnx: Path,
        precision: str,
        engines: Path,
        *,
        force: bool = False,
        timeout_s: float = _BUILD_TIMEOUT_S,
    ) -> tuple[Path, bool]:
        """The engine of ``onnx`` in the folder ``engines``, and whether it had to be built.

        Raises:
            EngineError: trtexec fails or takes too long; earlier engines are as before.
        """
        engine = _engine_path(onnx, precision, engines)
        key = self._key(onnx, precision)
        if not force and _is_current(engine, key):
            return engine, False
        engines.mkdir(parents=True, exist_ok=True)
        cache = engines / self._timing_cache()
        with _temporary(engine) as new_engine, _temporary(cache) as new_cache:
            if cache.is_file():
                shutil.copyfile(str(cache), str(new_cache))
            argv = build_argv(
                self.trtexec,
                self.version,
                precision,
                onnx=str(onnx),
                engine=str(new_engine),
                timing_cache=str(new_cache),
            )
            run_trtexec(argv, log=engine.with_suffix(".log"), timeout_s=timeout_s)
            if not new_engine.is_file() or new_engine.stat().st_size == 0:
                raise EngineError(f"trtexec ended well but wrote no engine; see {engine.with_suffix('.log')}")
            record = {"key": key, "engine_sha256": sha256(new_engine), "command": argv}
            _replace(new_engine, engine)
            if new_cache.is_file():
                _replace(new_cache, cache)
        with _temporary(_record_path(engine)) as new_record:
            new_record.write_text(json.dumps(record, indent=1) + "\n")
            _replace(new_record, _record_path(engine))
        return engine, True

    def _key(self, onnx: Path, precision: str) -> dict[str, Any]:
        return {
            **self.device,
            "tensorrt": str(self.version),
            "onnx_sha256": sha256(onnx),
            "flags": precision_flags(self.version, precision),
        }

    def _timing_cache(self) -> str:
        """A name for each device and version: TensorRT does not take a cache of another one."""
        made_for = json.dumps([self.device, self.version], sort_keys=True)
        return f"timing-{hashlib.sha256(made_for.encode()).hexdigest()[:12]}.cache"


def run_trtexec(argv: Sequence[str], *, log: Path, timeout_s: float) -> str:
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
    printed = _read(log)
    if done.returncode != 0:
        lines = printed.splitlines()
        said = [line for line in lines if "[E]" in line or "Unknown option" in line] or lines
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise EngineError(f"trtexec failed with {how}; its output is in {log}: " + " | ".join(said[-_ERROR_LINES:]))
    return printed


def read_times(text: str) -> list[dict[str, float]]:
    """What ``--exportTimes`` wrote, one entry an inference, with the keys ``latency_ms`` and ``compute_ms``.

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


def sha256(path: Path) -> str:
    """Hex SHA-256 of the file's content."""
    digest = hashlib.sha256()
    with open(str(path), "rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK_BYTES), b""):
            digest.update(chunk)
    return digest.hexdigest()


def _engine_path(onnx: Path, precision: str, engines: Path) -> Path:
    return engines / f"{onnx.name.split('.')[0]}.{precision}.engine"


def _record_path(engine: Path) -> Path:
    return engine.with_suffix(".engine.json")


def _is_current(engine: Path, key: Mapping[str, Any]) -> bool:
    try:
        record = json.loads(_record_path(engine).read_text())
        return bool(record["key"] == key and record["engine_sha256"] == sha256(engine))
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside ``path`` whose file is gone afterwards."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
    finally:
        if temporary.exists():
            temporary.unlink()


def _replace(temporary: Path, path: Path) -> None:
    with open(str(temporary), "rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def main() -> None:
    """The command line of the bundle."""
    parser = argparse.ArgumentParser(description="Build a TensorRT engine on this device.")
    here = Path(__file__).resolve().parent
    parser.add_argument("--precision", choices=PRECISIONS, help="default: int8 where the bundle has it, else fp16")
    parser.add_argument("--bundle", type=Path, default=here, help="folder of the ONNX files; default: this one")
    parser.add_argument("--engines", type=Path, help="folder for engines; default: engines/ in the bundle")
    parser.add_argument("--force", action="store_true", help="build even if the engine is current")
    parser.add_argument("--show", action="store_true", help="print the command of trtexec and do not run it")
    parser.add_argument("--timeout", type=float, default=_BUILD_TIMEOUT_S, metavar="S", help="longest build (3600)")
    given = parser.parse_args()
    engines = given.engines or given.bundle / "engines"
    try:
        builder = Builder()
        onnx, precision = builder.onnx(given.bundle, given.precision)
        if given.show:
            print(shlex.join(builder.command(onnx, precision, engines)))
            return
        print(f"TensorRT {builder.version}, {precision}, from {onnx.name}", file=sys.stderr)
        engine, built = builder.build(onnx, precision, engines, force=given.force, timeout_s=given.timeout)
    except EngineError as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(problem.exit_code) from None
    print("built" if built else "current: nothing to build", file=sys.stderr)
    print(engine)


if __name__ == "__main__":
    main()
