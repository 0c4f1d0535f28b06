#!/usr/bin/env python3
"""Measures the bundle's network with TensorRT on this board: for its user, or for EdgePrune.

Needs Python 3.8 or newer, build_engine.py, trtexec.py and choice.py beside this file, and TensorRT's trtexec; nothing
else. Where there is no trtexec, onnxruntime_runner.py beside this file takes over with ONNX Runtime's CUDA provider
(onnxruntime-gpu, numpy).

    python run.py                        build what is not built yet, choose the fastest precision, measure its latency,
                                         and check its outputs for the samples in golden.npz beside this file
    python run.py --input samples.npy    the largest outputs for each sample
    python run.py --precision fp16 --duration 30
    python run.py --layers layers.json   the time of each layer too

With --serve it answers JSON commands on stdin, see the function serve. "load" takes two keys more, both of which may be
left out, and "loaded" has the precision and the reason for it:

    {"do": "load", "model": "model.onnx", "spinning": true, "precision": "fp16", "engines": "folder/to/keep/them"}

A block is one run of trtexec, which warms up by itself. Latency is input copy, compute and output copy.
"""

from __future__ import annotations

import argparse
import array
import ast
import contextlib
import json
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edgeprune.backends.runner_parts.serving import describe_machine, run_until_stable, serve

if TYPE_CHECKING:
    from edgeprune.backends.tensorrt import build_engine, choice, trtexec

    Output = tuple[tuple[int, ...], Sequence[float]]  # shape and values in C order
else:
    import build_engine
    import choice
    import trtexec

_FALLBACK = "onnxruntime_runner.py"
_FALLBACK_RUNS = "200"
_WINDOW_S = 1
_MEMORY_PERIOD_S = 0.05
# Codes of the module array for numpy's names of types.
_TYPE_CODES = {"<f4": "f", "<f8": "d", "<i4": "i", "<i8": "q", "|i1": "b", "|u1": "B", "|b1": "B"}


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

    def machine(self) -> dict[str, Any]:
        """Description of this machine and of TensorRT."""
        return {
            **describe_machine(),
            "runtime": "tensorrt",
            "provider": "tensorrt",
            "runtime_version": str(self._builder.version),
            **{name: value for name, value in self._builder.device.items() if value is not None},
        }

    def load(self, command: dict[str, Any]) -> dict[str, Any]:
        """Build the engine if need be, and run it once."""
        started = time.monotonic()
        engines = Path(command.get("engines") or self._folder / "engines")
        made = self._builder.prepare(Path(command["model"]), engines, command.get("precision"))
        build_s = time.monotonic() - started
        flags = trtexec.measure_flags(self._builder.version, spin=command["spinning"])
        self._engine = build_engine.Engine(self._builder, made.engine, self._folder, flags)
        answer = {
            "event": "loaded",
            "threads": 1,
            "flags": flags,
            "precision": made.precision,
            "reason": made.reason,
            "built": made.built,
            "build_s": build_s,
        }
        with self._memory.watching():
            answer["first_ms"] = self._engine.run(warm_up_ms=0, duration_s=0, iterations=1)[0]["latency_ms"]
        # Said by every release from 8.5 to 10.x; where one does not say it, it is left out.
        said = re.search(r"Engine deserialized in ([\d.e-]+) sec", self._engine.printed)
        if said:
            answer["load_ms"] = float(said.group(1)) * 1000
        return answer

    def warm_up(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run until two runs of trtexec that follow each other take the same time."""

        def run_window() -> list[float]:
            return [entry["latency_ms"] for entry in self._run(_WINDOW_S, 1)]

        return run_until_stable(command, run_window, 0)

    def measure(self, command: dict[str, Any]) -> dict[str, Any]:
        """Time one block."""
        times = self._run(max(1, math.ceil(command["at_least_s"])), command["runs"])
        return {"event": "block", **{name: [entry[name] for entry in times] for name in ("latency_ms", "compute_ms")}}

    def layers(self, command: dict[str, Any]) -> dict[str, Any]:
        """Tell what trtexec exports of each layer."""
        return {"event": "layers", **self._engine.layers()}

    def outputs(self, command: dict[str, Any]) -> dict[str, Any]:
        """Write all outputs of some samples, where trtexec can tell them."""
        parts = [self._engine.outputs(sample) for sample in read_samples(Path(command["input"]))]
        if None in parts:
            return {"event": "outputs", "unknown": True}
        write_outputs(Path(command["output"]), parts)
        return {"event": "outputs"}

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
                warm_up_ms=build_engine.WARM_UP_MS, duration_s=duration_s, iterations=iterations
            )
        return times


class Array(NamedTuple):
    """An array of an ``.npy`` file; there may be no numpy here.

    Attributes:
        descr: numpy's name of the type, such as ``<f4``.
        shape: Length of every dimension.
        content: The values as stored, in C order.
    """

    descr: str
    shape: tuple[int, ...]
    content: bytes

    def values(self) -> list[float]:
        """All values in C order."""
        found = array.array(_TYPE_CODES[self.descr])
        found.frombytes(self.content)
        return [float(value) for value in found]


def parse_array(content: bytes) -> Array:
    """The array in the content of an ``.npy`` file.

    Raises:
        EngineError: It is not one, its type is not known here, or it is in Fortran order.
    """
    wide = content[6:7] != b"\x01"  # from version 2 on
    start = 12 if wide else 10
    end = start + int.from_bytes(content[8:start], "little")
    try:
        header = ast.literal_eval(content[start:end].decode("latin1"))
        known = content[:6] == b"\x93NUMPY" and not header["fortran_order"] and header["descr"] in _TYPE_CODES
    except (SyntaxError, ValueError, KeyError, TypeError):
        raise trtexec.EngineError("not an .npy file", exit_code=3) from None
    if not known:
        raise trtexec.EngineError(f"arrays must be numbers in C order, this one is {header}", exit_code=3)
    return Array(header["descr"], header["shape"], content[end:])


def read_samples(path: Path) -> list[bytes]:
    """The raw values of each sample (N, ...) in an ``.npy`` file, or under "input" in an ``.npz`` file.

    Raises:
        EngineError: The file holds no samples.
    """
    if zipfile.is_zipfile(str(path)):
        with zipfile.ZipFile(str(path)) as file:
            if "input.npy" not in file.namelist():
                raise trtexec.EngineError(f"{path} has no array 'input'", exit_code=3)
            stored = parse_array(file.read("input.npy"))
    else:
        stored = parse_array(path.read_bytes())
    if 0 in (stored.shape or (0,)):
        raise trtexec.EngineError(f"{path} must hold samples (N, ...), its shape is {stored.shape}", exit_code=3)
    count = stored.shape[0]
    size = len(stored.content) // count
    return [stored.content[index * size : (index + 1) * size] for index in range(count)]


def read_expected(path: Path, precision: str) -> tuple[list[list[float]], float] | None:
    """Expected values of each output of an engine in golden.npz, and the allowed relative error.

    None if the file holds no expected outputs.
    """
    if not zipfile.is_zipfile(str(path)):
        return None
    with zipfile.ZipFile(str(path)) as file:
        arrays = {name[: -len(".npy")]: file.read(name) for name in file.namelist()}
    other = f"{precision.replace('fp', 'float')}."
    prefix = other if f"{other}tolerance" in arrays else ""
    if f"{prefix}tolerance" not in arrays:
        return None
    names = sorted((name for name in arrays if re.match(rf"{re.escape(prefix)}output_\d+$", name)), key=_number)
    (tolerance,) = parse_array(arrays[f"{prefix}tolerance"]).values()
    return [parse_array(arrays[name]).values() for name in names], tolerance


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])


def relative_error(output: Sequence[float], expected: Sequence[float]) -> float:
    """Largest difference over the largest finite expected value; infinite if a value is NaN or one is missing."""
    if len(output) != len(expected):
        return math.inf
    scale = max((abs(value) for value in expected if math.isfinite(value)), default=0) or 1.0
    errors = [abs(one - other) / scale for one, other in zip(output, expected) if one != other]  # noqa: B905
    return max((math.inf if math.isnan(error) else error for error in errors), default=0)


def show_largest(outputs: Mapping[str, Sequence[Output]], count: int) -> None:
    """Print the largest values of each output for each sample, with their indices."""
    for name, samples in outputs.items():
        print(f"output {name}, largest values as index: value")
        for sample, (shape, values) in enumerate(samples):
            largest = sorted(range(len(values)), key=values.__getitem__, reverse=True)[:count]
            shown = [f"{', '.join(map(str, _place(index, shape[1:])))}: {values[index]:.4g}" for index in largest]
            print("  ".join([f"sample {sample}", *shown]))


def _place(index: int, shape: Sequence[int]) -> list[int]:
    """Index along every dimension of the value at ``index`` in C order."""
    place: list[int] = []
    for length in reversed(shape or (1,)):
        index, along = divmod(index, length)
        place.insert(0, along)
    return place


def write_outputs(path: Path, parts: Sequence[Sequence[Output]]) -> None:
    """Write the outputs of samples as a ``.npz`` file: each is (N, ...)."""
    with zipfile.ZipFile(path, "w") as file:
        for index, samples in enumerate(zip(*parts)):  # noqa: B905 - Python 3.8
            shape = (len(samples), *samples[0][0][1:])
            values = array.array("f", [value for _, sample in samples for value in sample])
            header = repr({"descr": "<f4", "fortran_order": False, "shape": shape})
            header += " " * (-(len(header) + 11) % 64) + "\n"
            begin = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
            file.writestr(f"output_{index}.npy", begin + header.encode("latin1") + values.tobytes())


def benchmark(builder: build_engine.Builder, given: argparse.Namespace) -> None:
    """Build the engine if necessary, measure it, run the samples, and print the results.

    Raises:
        EngineError: Outputs are not as golden.npz expects.
    """
    bundle = Path(__file__).resolve().parent
    golden = bundle / "golden.npz"
    samples_file = given.input or (golden if golden.is_file() else None)
    samples = [] if samples_file is None else read_samples(samples_file)
    made = builder.prepare(bundle / "model.onnx", given.engines or bundle / "engines", given.precision)
    build_engine.say(f"{made.precision}: {made.reason}")
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
        engine = build_engine.Engine(builder, made.engine, Path(folder), trtexec.measure_flags(builder.version))
        times = engine.run(warm_up_ms=build_engine.WARM_UP_MS, duration_s=given.duration, iterations=10)
        if given.layers:
            Path(given.layers).write_text(json.dumps(engine.layers(), indent=1) + "\n")
        parts = [engine.outputs(sample) for sample in samples]
        _, names = trtexec.parse_bindings(engine.printed)
    ranks = statistics.quantiles([entry["latency_ms"] for entry in times], n=100, method="inclusive")
    shown = [f"p{rank} {ranks[rank - 1]:.4g} ms" for rank in (50, 90, 99)]
    print("  ".join([*shown, f"{len(times)} runs", made.precision, f"TensorRT {builder.version}", *engine.flags]))
    if None in parts:
        build_engine.say("no outputs: trtexec does not name those of the network, or the network has several inputs")
    elif samples_file is not None:
        outputs = dict(zip(names, zip(*parts)))  # noqa: B905 - Python 3.8
        show_largest(outputs, given.best)
        expected = read_expected(samples_file, made.precision)
        if expected is not None:
            _show_agreement(outputs, *expected)


def _show_agreement(
    outputs: Mapping[str, Sequence[Output]], expected: Sequence[Sequence[float]], tolerance: float
) -> None:
    """Print that the outputs are as expected.

    Raises:
        EngineError: They are not.
    """
    flat = [[value for _, values in samples for value in values] for samples in outputs.values()]
    error = max(map(relative_error, flat, expected), default=0) if len(flat) == len(expected) else math.inf
    figures = f"relative error {error:.2g}, allowed {tolerance:.2g}"
    if error > tolerance:
        raise trtexec.EngineError(f"outputs are NOT as expected: {figures}", exit_code=1)
    print(f"outputs are as expected: {figures}")


def main() -> None:
    """The command line of the bundle."""
    parser = argparse.ArgumentParser(description="Measure a network with TensorRT.")
    parser.add_argument("--precision", choices=trtexec.PRECISIONS, help="default: that which is the fastest here")
    parser.add_argument("--duration", type=int, default=10, metavar="S", help="of the measurement (10)")
    parser.add_argument(
        "--input",
        type=Path,
        metavar="FILE",
        help=".npy of samples (N, ...), scaled as in training; default: golden.npz",
    )
    parser.add_argument("--best", type=int, default=5, help="values shown of each output and sample (5)")
    parser.add_argument("--layers", metavar="FILE", help="write time and description of each layer as JSON")
    parser.add_argument("--engines", type=Path, help="folder for engines; default: engines/ beside this file")
    parser.add_argument("--serve", action="store_true", help="answer JSON commands on stdin")
    given = parser.parse_args()
    try:
        if trtexec.find_trtexec() is None:
            _fall_back(given)
        builder = build_engine.Builder()
        if given.serve:
            with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
                serve(lambda: Server(builder, Path(folder)))
        else:
            benchmark(builder, given)
    except (trtexec.EngineError, OSError) as problem:
        build_engine.say(f"error: {problem}")
        raise SystemExit(getattr(problem, "exit_code", 3)) from None


def _fall_back(given: argparse.Namespace) -> None:
    """Become the runner of ONNX Runtime."""
    here = Path(__file__).resolve().parent
    runner = here / _FALLBACK
    if not runner.is_file():
        raise trtexec.EngineError(f"there is no trtexec, and no {_FALLBACK} beside this file")
    build_engine.say("no trtexec: ONNX Runtime with its CUDA provider")
    argv = [sys.executable, str(runner), "--provider", "cuda"]
    if given.serve:
        argv.append("--serve")
    else:
        argv += [str(_fallback_model(argv, here, given.precision)), "--benchmark", _FALLBACK_RUNS]
    os.execv(sys.executable, argv)  # noqa: S606


def _fallback_model(argv: Sequence[str], bundle: Path, precision: str | None) -> Path:
    """The file to run: ONNX Runtime too takes types from it. Q/DQ lie where TensorRT wants them: int8 comes last."""
    ships = build_engine.shipped(bundle)
    wanted = (precision,) if precision else [name for name in ships if name != "int8"] or ships
    files = {name: bundle / trtexec.onnx_name(trtexec.STRONGLY_TYPED, name) for name in wanted}
    found = {name: path for name, path in files.items() if path.is_file()}
    if not found:
        raise trtexec.EngineError(f"{bundle} has no {', '.join(path.name for path in files.values())}", exit_code=3)
    if len(found) == 1:
        return next(iter(found.values()))
    with contextlib.ExitStack() as stack:
        chosen = choice.choose({name: stack.enter_context(_onnxruntime(argv, path)) for name, path in found.items()})
    build_engine.say(f"{chosen.precision}: {chosen.reason}")
    return found[chosen.precision]


@contextlib.contextmanager
def _onnxruntime(argv: Sequence[str], model: Path) -> Iterator[Callable[[], float]]:
    """A process that has ``model`` loaded and warm; measures a round and gives its median in milliseconds."""
    with subprocess.Popen([*argv, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def answer(**command: Any) -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            if command:
                print(json.dumps(command), file=process.stdin, flush=True)
            line = process.stdout.readline()
            said: dict[str, Any] = json.loads(line) if line else {"event": "error", "message": "it ended; see above"}
            if said["event"] == "error":
                raise trtexec.EngineError(f"ONNX Runtime cannot run {model.name}: {said['message']}")
            return said

        answer()
        answer(do="load", model=str(model), threads=None, spinning=True, seed=0)
        answer(do="warm_up", at_least=10, at_most_s=10)
        yield lambda: statistics.median(answer(do="measure", warm_up=1, runs=10, at_least_s=1)["latency_ms"])


if __name__ == "__main__":
    main()
