#!/usr/bin/env python3
"""Measures the bundle's network with TensorRT on this board: for its user, or for EdgePrune.

Needs Python 3.8 or newer, build_engine.py beside this file, and TensorRT's trtexec; nothing else. Where there is no
trtexec, onnxruntime_runner.py beside this file takes over with ONNX Runtime's CUDA provider (onnxruntime-gpu, numpy).

    python run.py                        build the engine if need be, then measure latency
    python run.py --precision fp16 --duration 30
    python run.py --layers layers.json   the time of each layer too

With --serve it speaks the protocol of onnxruntime_runner.py; "load" takes two keys more, and there is one command more:

    {"do": "load", "model": "model.onnx", "spinning": true, "precision": "fp16", "engines": "folder/to/keep/them"}
    {"do": "layers"}

A block is one run of trtexec, which warms up by itself. Latency is input copy, compute and output copy.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeprune.profile.runners import build_engine
else:
    import build_engine

PROTOCOL = 1

_FALLBACK = "onnxruntime_runner.py"
_FALLBACK_RUNS = "200"
_MEASURE_TIMEOUT_S = 600.0
_WARM_UP_MS = 500
_WINDOW_S = 1
# Warm-up has ended when the medians of two windows that follow each other differ by less than this share.
_STABLE = 0.02
_MEMORY_PERIOD_S = 0.05


class Engine:
    """A built engine, and how it is measured."""

    def __init__(self, builder: build_engine.Builder, path: Path, folder: Path, flags: list[str]) -> None:
        self._builder = builder
        self._path = path
        self._folder = folder
        self.flags = flags
        self.printed = ""

    def run(self, *, warm_up_ms: int, duration_s: int, iterations: int) -> list[dict[str, float]]:
        """Run trtexec once; the times of each inference."""
        times = self._folder / "times.json"
        self._trtexec(times, warm_up_ms=warm_up_ms, duration_s=duration_s, iterations=iterations)
        return build_engine.read_times(times.read_text())

    def layers(self) -> dict[str, Any]:
        """What trtexec exports of each layer: its time and its description."""
        profile, layers = self._folder / "profile.json", self._folder / "layers.json"
        self._trtexec(
            self._folder / "times.json",
            warm_up_ms=_WARM_UP_MS,
            duration_s=_WINDOW_S,
            iterations=10,
            profile=str(profile),
            layers=str(layers),
        )
        return {"profile": json.loads(profile.read_text()), "layers": json.loads(layers.read_text())}

    def _trtexec(self, times: Path, **settings: Any) -> None:
        if times.exists():
            times.unlink()
        argv = build_engine.measure_argv(
            self._builder.trtexec, self._builder.version, str(self._path), str(times), flags=self.flags, **settings
        )
        timeout_s = _MEASURE_TIMEOUT_S + settings["duration_s"]
        self.printed = build_engine.run_trtexec(argv, log=self._folder / "measure.log", timeout_s=timeout_s)
        if not times.is_file():
            raise build_engine.EngineError("trtexec ended well but exported no times")


class MemoryWatch:
    """Memory in use on the whole board, which CPU and GPU share; a process's own count leaves out what the GPU has."""

    def __init__(self) -> None:
        self.baseline_bytes = _used_bytes()
        self.peak_bytes = self.baseline_bytes

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Follow the peak for a while."""
        ended = threading.Event()

        def follow() -> None:
            while not ended.wait(_MEMORY_PERIOD_S):
                self.peak_bytes = max(self.peak_bytes, _used_bytes())

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _used_bytes() -> int:
    with open("/proc/meminfo") as file:
        lines = (line.split() for line in file)
        sizes = {line[0]: int(line[1]) * 1024 for line in lines if len(line) == 3 and line[2] == "kB"}
    return sizes["MemTotal:"] - sizes["MemAvailable:"]


class Server:
    """Answers EdgePrune's commands."""

    def __init__(self, builder: build_engine.Builder, folder: Path) -> None:
        self._builder = builder
        self._folder = folder
        self._memory = MemoryWatch()
        self._engine: Any = None

    def load(self, command: dict[str, Any]) -> dict[str, Any]:
        """Build the engine if need be, and run it once."""
        started = time.monotonic()
        engines = Path(command.get("engines") or self._folder / "engines")
        path, built = self._builder.build(Path(command["model"]), command.get("precision", "fp16"), engines)
        build_s = time.monotonic() - started
        flags = build_engine.measure_flags(self._builder.version, spin=command["spinning"])
        self._engine = Engine(self._builder, path, self._folder, flags)
        answer = {"event": "loaded", "threads": 1, "flags": flags, "built": built, "build_s": build_s}
        with self._memory.watching():
            answer["first_ms"] = self._engine.run(warm_up_ms=0, duration_s=0, iterations=1)[0]["latency_ms"]
        # Said by every release from 8.5 to 10.x; where one does not say it, it is left out.
        said = re.search(r"Engine deserialized in ([\d.e-]+) sec", self._engine.printed)
        if said:
            answer["load_ms"] = float(said.group(1)) * 1000
        return answer

    def warm_up(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run until two runs of trtexec that follow each other take the same time."""
        runs, stable, before = 0, False, None
        end = time.monotonic() + command["at_most_s"]
        while time.monotonic() < end and not (stable and runs >= command["at_least"]):
            times = self._run(_WINDOW_S, 1)
            now = statistics.median(entry["latency_ms"] for entry in times)
            runs += len(times)
            stable = before is not None and abs(now - before) <= _STABLE * before
            before = now
        return {"event": "warm", "runs": runs, "stable": stable}

    def measure(self, command: dict[str, Any]) -> dict[str, Any]:
        """Time one block."""
        times = self._run(max(1, math.ceil(command["at_least_s"])), command["runs"])
        return {"event": "block", **{name: [entry[name] for entry in times] for name in ("latency_ms", "compute_ms")}}

    def layers(self, command: dict[str, Any]) -> dict[str, Any]:
        """Tell what trtexec exports of each layer."""
        return {"event": "layers", **self._engine.layers()}

    def memory(self, command: dict[str, Any]) -> dict[str, Any]:
        """Tell the peak so far."""
        return {
            "event": "memory",
            "peak_bytes": self._memory.peak_bytes,
            "baseline_bytes": self._memory.baseline_bytes,
            "source": "MemAvailable of the board",
        }

    def _run(self, duration_s: int, iterations: int) -> list[dict[str, float]]:
        with self._memory.watching():
            times: list[dict[str, float]] = self._engine.run(
                warm_up_ms=_WARM_UP_MS, duration_s=duration_s, iterations=iterations
            )
        return times


def serve(builder: build_engine.Builder) -> None:
    """Talk until told to end, or until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not get between the answers

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
        server = Server(builder, Path(folder))
        commands = {name: getattr(server, name) for name in ("load", "warm_up", "measure", "layers", "memory")}
        answer(dict(_machine(builder), event="ready", protocol=PROTOCOL))
        for line in iter(sys.stdin.readline, ""):
            try:
                command = json.loads(line)
                if command["do"] == "end":
                    break
                answer(commands[command["do"]](command))
            except Exception as error:  # noqa: BLE001 - whatever it is, the other side is told
                answer({"event": "error", "message": f"{type(error).__name__}: {error}"})


def _machine(builder: build_engine.Builder) -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "runtime": "tensorrt",
        "runtime_version": str(builder.version),
        **{name: value for name, value in builder.device.items() if value is not None},
    }


def benchmark(builder: build_engine.Builder, given: argparse.Namespace) -> None:
    """Build if need be, measure, print."""
    bundle = Path(__file__).resolve().parent
    onnx, precision = builder.onnx(bundle, given.precision)
    engine_path, _ = builder.build(onnx, precision, given.engines or bundle / "engines")
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
        engine = Engine(builder, engine_path, Path(folder), build_engine.measure_flags(builder.version))
        times = engine.run(warm_up_ms=_WARM_UP_MS, duration_s=given.duration, iterations=10)
        if given.layers:
            Path(given.layers).write_text(json.dumps(engine.layers(), indent=1) + "\n")
    ranks = statistics.quantiles([entry["latency_ms"] for entry in times], n=100, method="inclusive")
    shown = [f"p{rank} {ranks[rank - 1]:.4g} ms" for rank in (50, 90, 99)]
    print("  ".join([*shown, f"{len(times)} runs", precision, f"TensorRT {builder.version}", *engine.flags]))


def main() -> None:
    """The command line of the bundle."""
    parser = argparse.ArgumentParser(description="Measure a network with TensorRT.")
    parser.add_argument("--precision", choices=build_engine.PRECISIONS, help="default: int8 if there is one, else fp16")
    parser.add_argument("--duration", type=int, default=10, metavar="S", help="of the measurement (10)")
    parser.add_argument("--layers", metavar="FILE", help="write time and description of each layer as JSON")
    parser.add_argument("--engines", type=Path, help="folder for engines; default: engines/ beside this file")
    parser.add_argument("--serve", action="store_true", help="answer JSON commands on stdin")
    given = parser.parse_args()
    if build_engine.find_trtexec() is None:
        _fall_back(given)
    try:
        builder = build_engine.Builder()
        if given.serve:
            serve(builder)
        else:
            benchmark(builder, given)
    except build_engine.EngineError as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(problem.exit_code) from None


def _fall_back(given: argparse.Namespace) -> None:
    """Become the runner of ONNX Runtime. It too takes types from the file; int8 is no faster there than fp16."""
    here = Path(__file__).resolve().parent
    if not (here / _FALLBACK).is_file():
        print(f"error: there is no trtexec, and no {_FALLBACK} beside this file", file=sys.stderr)
        raise SystemExit(5)
    precisions = (given.precision,) if given.precision else ("fp16", "fp32")
    names = [build_engine.onnx_name(build_engine.Version(11, 0), precision) for precision in precisions]
    found = [str(here / name) for name in names if (here / name).is_file()]
    if not given.serve and not found:
        print(f"error: {here} has no {', '.join(names)}", file=sys.stderr)
        raise SystemExit(3)
    arguments = ["--serve"] if given.serve else [found[0], "--benchmark", _FALLBACK_RUNS]
    print("no trtexec: ONNX Runtime with its CUDA provider", file=sys.stderr, flush=True)
    os.execv(sys.executable, [sys.executable, str(here / _FALLBACK), "--provider", "cuda", *arguments])  # noqa: S606


if __name__ == "__main__":
    main()
