#!/usr/bin/env python3
"""Runs an ONNX model with ONNX Runtime: once, as a benchmark, or for EdgePrune, which measures with it.

Needs Python 3.8 or newer, numpy and onnxruntime; nothing else (pip install -r requirements.txt).

    python run.py --input samples.npy              the largest outputs for each sample, on model.onnx beside this file
    python run.py --input samples.npy --output out.npz
    python run.py --benchmark 200 --threads 4      latency on random input
    python run.py --benchmark 200 --provider cuda  on an NVIDIA GPU (onnxruntime-gpu)

With --serve it reads one JSON object a line from stdin and answers each with one on stdout:

    {"do": "load", "model": "model.onnx", "threads": 4, "spinning": true, "seed": 0}
    {"do": "warm_up", "at_least": 20, "at_most_s": 10}
    {"do": "measure", "warm_up": 5, "runs": 100, "at_least_s": 0.25}
    {"do": "memory"}
    {"do": "layers", "runs": 20}
    {"do": "outputs", "input": "samples.npy", "output": "out.npz"}
    {"do": "end"}

The first line, "ready", comes by itself and names the commands. What goes wrong is answered by
{"event": "error", "message": ...}.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

try:
    import numpy as np
    import onnxruntime
except ImportError as problem:
    line = f"{sys.executable} -m pip install 'numpy>=1.21' 'onnxruntime>=1.12'"
    raise SystemExit(f"ONNX Runtime is missing here ({problem}): {line}") from None

PROTOCOL = 1

# One Identity on one float. Running it before the baseline is taken makes the runtime load what every model needs.
_SMALLEST_MODEL = (
    b'\x08\x07:7\n\x10\n\x01x\x12\x01y"\x08Identity\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)
_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# Warm-up has ended when the medians of two windows of runs that follow each other differ by less than this share.
_STABLE = 0.02
_WINDOW_RUNS = 10
_WINDOW_S = 0.05  # a clock that rises under load takes some tens of milliseconds
_MOST_RUNS = 2000  # in one block or window that only waits for its time to pass


def session_options(threads: int | None, spinning: bool) -> onnxruntime.SessionOptions:
    """Options of a session that runs one model alone; threads None: every core this process may use."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or core_count()
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    # Sums of 16 bits saturate in the int8 kernels for x86-64 processors without VNNI; others ignore the entry.
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    return options


def open_session(
    model: str | bytes, options: onnxruntime.SessionOptions, provider: str
) -> onnxruntime.InferenceSession:
    """A session on ``provider``: ``cpu``, or ``cuda`` with the CPU for nodes that the GPU cannot run."""
    wanted = _PROVIDERS[provider]
    providers = list(dict.fromkeys([wanted, _PROVIDERS["cpu"]]))
    if wanted in onnxruntime.get_available_providers():
        session = onnxruntime.InferenceSession(model, options, providers=providers)
        if wanted in session.get_providers():  # the runtime goes on without a provider that fails to start
            return session
    raise RuntimeError(f"ONNX Runtime {onnxruntime.__version__} cannot start {wanted} here")


def core_count() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def random_inputs(session: onnxruntime.InferenceSession, seed: int) -> dict[str, np.ndarray]:
    """Standard normal floats, or small integers, in the shapes the model takes; open dimensions are 1."""
    rng = np.random.RandomState(seed)
    inputs: dict[str, np.ndarray] = {}
    for value in session.get_inputs():
        shape = [size if isinstance(size, int) and size > 0 else 1 for size in value.shape]
        if value.type not in _TYPES:
            raise ValueError(f"input {value.name} has type {value.type}")
        kind = _TYPES[value.type]
        drawn = rng.standard_normal(shape) if np.issubdtype(kind, np.floating) else rng.randint(0, 2, shape)
        inputs[value.name] = drawn.astype(kind)
    return inputs


def time_runs(
    session: onnxruntime.InferenceSession, inputs: dict[str, np.ndarray], runs: int, at_least_s: float = 0.0
) -> list[float]:
    """Milliseconds of each inference, by a monotonic clock: so many, and more until so much time is over."""
    taken: list[float] = []
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter() + at_least_s
        while len(taken) < runs or (time.perf_counter() < end and len(taken) < _MOST_RUNS):
            started = time.perf_counter_ns()
            session.run(None, inputs)
            taken.append((time.perf_counter_ns() - started) / 1e6)
    finally:
        gc.enable()
    return taken


def peak_memory() -> tuple[int, str]:
    """Highest resident memory of this process so far, in bytes, and where it was read."""
    status = _linux_status()
    if "VmHWM" in status:
        return status["VmHWM"], "VmHWM"
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "ru_maxrss"


def start_memory() -> int:
    """Resident memory now, in bytes, from which on peaks count; earlier peaks are forgotten if possible."""
    status = _linux_status()
    if "VmRSS" not in status:
        return peak_memory()[0]
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return peak_memory()[0]  # a peak cannot be forgotten, so what is said to be over it may be too little
    return status["VmRSS"]


def _linux_status() -> dict[str, int]:
    try:
        with open("/proc/self/status") as file:
            lines = [line.split() for line in file]
    except OSError:
        return {}
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if len(line) == 3 and line[2] == "kB"}


def _machine() -> dict[str, Any]:
    """Description of this machine, as far as it reports one."""
    cpu = platform.processor()
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith(("model name", "Model"))]
        cpu = names[0] if names else cpu
    except OSError:
        pass
    return {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": cpu,
        "cores": core_count(),
        "python": platform.python_version(),
        "runtime": "onnxruntime",
        "runtime_version": onnxruntime.__version__,
    }


class Server:
    """Answers EdgePrune's commands."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        small = open_session(_SMALLEST_MODEL, session_options(1, False), provider)
        np.median(time_runs(small, random_inputs(small, 0), 1))  # numpy loads parts of itself when first used
        del small
        gc.collect()
        gc.freeze()  # the collection before each measurement skips all that was imported, and so takes no time
        self.baseline_bytes = start_memory()
        self.session: Any = None
        self.loaded: dict[str, Any] = {}
        self.inputs: dict[str, np.ndarray] = {}

    def machine(self) -> dict[str, Any]:
        """Description of this machine and of the runtime."""
        return dict(_machine(), provider=self.provider)

    def load(self, command: dict[str, Any]) -> dict[str, Any]:
        """Make a session and run it once."""
        self.loaded = command
        started = time.perf_counter_ns()
        options = session_options(command["threads"], command["spinning"])
        self.session = open_session(command["model"], options, self.provider)
        load_ms = (time.perf_counter_ns() - started) / 1e6
        self.inputs = random_inputs(self.session, command["seed"])
        first_ms = time_runs(self.session, self.inputs, 1)[0]
        return {"event": "loaded", "load_ms": load_ms, "first_ms": first_ms, "threads": options.intra_op_num_threads}

    def warm_up(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run until two windows that follow each other take the same time."""
        runs, stable = 1, False
        end = time.monotonic() + command["at_most_s"]
        before = None
        while time.monotonic() < end and not (stable and runs >= command["at_least"]):
            window = time_runs(self.session, self.inputs, _WINDOW_RUNS, _WINDOW_S)
            now = float(np.median(window))
            runs += len(window)
            stable = before is not None and abs(now - before) <= _STABLE * before
            before = now
        return {"event": "warm", "runs": runs, "stable": stable}

    def measure(self, command: dict[str, Any]) -> dict[str, Any]:
        """Time one block."""
        time_runs(self.session, self.inputs, command["warm_up"])
        taken = time_runs(self.session, self.inputs, command["runs"], command["at_least_s"])
        return {"event": "block", "latency_ms": taken}

    def memory(self, command: dict[str, Any]) -> dict[str, Any]:
        """Tell the peak so far."""
        peak_bytes, source = peak_memory()
        return {"event": "memory", "peak_bytes": peak_bytes, "baseline_bytes": self.baseline_bytes, "source": source}

    def layers(self, command: dict[str, Any]) -> dict[str, Any]:
        """Tell the time of every node that the runtime made of the model, in a session with its profiler."""
        options = session_options(self.loaded["threads"], self.loaded["spinning"])
        options.enable_profiling = True
        with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
            options.profile_file_prefix = str(Path(folder) / "profile")
            session = open_session(self.loaded["model"], options, self.provider)
            time_runs(session, self.inputs, 1 + command["runs"])
            with open(session.end_profiling()) as file:
                events = [event for event in json.load(file) if event.get("cat") == "Node"]
        taken: dict[tuple[str, str, str], list[float]] = {}
        for event in events:
            name, _, what = event["name"].rpartition("_kernel_")
            if what == "time":
                arguments = event.get("args", {})
                node = arguments.get("node_index", ""), name, arguments.get("op_name", "")
                taken.setdefault(node, []).append(event["dur"])
        # Whole microseconds: the mean of the middle half says more than the median. The first run is slower.
        middle = slice(command["runs"] // 4, command["runs"] - command["runs"] // 4)
        layers = [
            {"name": name, "kind": kind, "ms": float(np.mean(sorted(times[1:])[middle])) / 1e3}
            for (_, name, kind), times in taken.items()
        ]
        return {"event": "layers", "runs": command["runs"], "layers": layers}

    def outputs(self, command: dict[str, Any]) -> dict[str, Any]:
        """Write what the model answers to samples."""
        np.savez(command["output"], **run_samples(self.session, np.load(command["input"])))  # type: ignore[arg-type]
        return {"event": "outputs"}


def serve(*options: str) -> None:
    """Talk until told to end, or until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not get between the answers

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    server = Server(*options)
    names = ("load", "warm_up", "measure", "memory", "layers", "outputs")
    commands = {name: getattr(server, name) for name in names if hasattr(server, name)}
    answer(dict(server.machine(), event="ready", protocol=PROTOCOL, commands=list(commands)))
    for line in iter(sys.stdin.readline, ""):
        try:
            command = json.loads(line)
            if command["do"] == "end":
                break
            answer(commands[command["do"]](command))
        except Exception as error:  # noqa: BLE001 - whatever it is, the other side is told
            answer({"event": "error", "message": f"{type(error).__name__}: {error}"})


def run_samples(session: onnxruntime.InferenceSession, samples: np.ndarray) -> dict[str, np.ndarray]:
    """All outputs (N, ...) by name of samples (N, ...)."""
    value = session.get_inputs()[0]
    batch = value.shape[0] if isinstance(value.shape[0], int) else 1
    if list(samples.shape[1:]) != list(value.shape[1:]):
        raise ValueError(f"the model takes {value.shape}, the file holds {list(samples.shape)}")
    if len(samples) % batch:
        raise ValueError(f"the model takes {batch} samples at a time, the file holds {len(samples)}")
    parts = [
        session.run(None, {value.name: np.ascontiguousarray(samples[start : start + batch], _TYPES[value.type])})
        for start in range(0, len(samples), batch)
    ]
    outputs = [np.concatenate(part) for part in zip(*parts)]  # noqa: B905 - Python 3.8
    return dict(zip([output.name for output in session.get_outputs()], outputs))  # noqa: B905


def read_samples(path: str | Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Samples (N, ...) of an .npy file; of an .npz such as golden.npz those under "input", and all of its arrays."""
    stored = np.load(path)
    if not hasattr(stored, "files"):
        return stored, {}
    if "input" not in stored.files:
        raise ValueError(f"{path} has no array 'input'")
    return stored["input"], {key: stored[key] for key in stored.files}


def relative_error(output: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference over the largest finite expected value; equal infinities do not differ."""
    one, other = np.asarray(output, np.float64), np.asarray(expected, np.float64)
    different = one != other
    scale = np.abs(other[np.isfinite(other)]).max(initial=0) or 1.0
    return float(np.abs(one[different] - other[different]).max(initial=0) / scale)


def show_agreement(outputs: dict[str, np.ndarray], stored: dict[str, np.ndarray]) -> bool:
    """Print whether the outputs are those that golden.npz expects; true as well where it expects none."""
    expected = [stored[f"output_{index}"] for index in range(len(outputs)) if f"output_{index}" in stored]
    if len(expected) != len(outputs) or "tolerance" not in stored:
        return True
    errors = [relative_error(output, wanted) for output, wanted in zip(outputs.values(), expected)]  # noqa: B905
    good = max(errors) <= float(stored["tolerance"])
    verdict = "as expected" if good else "NOT as expected"
    print(f"outputs are {verdict}: relative error {max(errors):.2g}, allowed {float(stored['tolerance']):.2g}")
    return good


def show_largest(outputs: dict[str, np.ndarray], count: int) -> None:
    """Print the largest values of each output for each sample, with their indices."""
    for name, samples in outputs.items():
        print(f"output {name}, largest values as index: value")
        for sample, values in enumerate(map(np.atleast_1d, samples)):
            largest = np.argsort(values, axis=None)[::-1][:count]
            places = zip(*np.unravel_index(largest, values.shape))  # noqa: B905 - Python 3.8
            shown = [f"{', '.join(map(str, place))}: {float(values[place]):.4g}" for place in places]
            print("  ".join([f"sample {sample}", *shown]))


def main() -> None:
    """The command line of the bundle."""
    parser = argparse.ArgumentParser(description="Run an ONNX model with ONNX Runtime.")
    beside = Path(__file__).resolve().parent / "model.onnx"
    parser.add_argument("model", nargs="?", default=beside, help="an .onnx file; default: model.onnx beside this file")
    parser.add_argument(
        "--input", metavar="FILE", help=".npy of samples (N, ...), scaled as in training; default: golden.npz"
    )
    parser.add_argument("--output", metavar="FILE", help=".npz for all outputs")
    parser.add_argument("--best", type=int, default=5, help="values shown of each output and sample (5)")
    parser.add_argument("--benchmark", type=int, metavar="RUNS", help="time so many inferences on random input")
    parser.add_argument("--threads", type=int, help="of one inference; default: every core")
    parser.add_argument("--provider", choices=sorted(_PROVIDERS), default="cpu", help="where it runs (cpu)")
    parser.add_argument("--serve", action="store_true", help="answer JSON commands on stdin")
    given = parser.parse_args()
    if given.serve:
        serve(given.provider)
        return
    golden = beside.with_name("golden.npz")
    if given.input is None and given.benchmark is None:
        if not golden.is_file():
            parser.error("give --input or --benchmark: there is no golden.npz with samples beside this file")
        given.input = golden
    options = session_options(given.threads, True)
    session = open_session(str(given.model), options, given.provider)
    if given.input is not None:
        try:
            samples, stored = read_samples(given.input)
            outputs = run_samples(session, samples)
        except (OSError, ValueError) as problem:
            raise SystemExit(str(problem)) from None
        show_largest(outputs, given.best)
        if not show_agreement(outputs, stored):
            raise SystemExit(1)
        if given.output:
            np.savez(given.output, **outputs)  # type: ignore[arg-type]
    if given.benchmark is not None:
        inputs = random_inputs(session, 0)
        time_runs(session, inputs, max(_WINDOW_RUNS, given.benchmark // 5))
        taken = time_runs(session, inputs, given.benchmark)
        shown = [f"p{rank} {np.percentile(taken, rank):.4g} ms" for rank in (50, 90, 99)]
        print("  ".join([*shown, f"min {min(taken):.4g} ms", f"{options.intra_op_num_threads} threads"]))


if __name__ == "__main__":
    main()
