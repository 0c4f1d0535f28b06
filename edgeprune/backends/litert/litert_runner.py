#!/usr/bin/env python3
"""Runs a TFLite model with LiteRT: once, as a benchmark, or for EdgePrune, which measures with it.

Needs Python 3.8 or newer, numpy and ai-edge-litert, or tflite-runtime in its place; nothing else.

    python run.py --input samples.npy              the largest outputs for each sample, on model.tflite beside this file
    python run.py --input samples.npy --output out.npz
    python run.py --benchmark 200 --threads 4      latency on random input

Samples are scaled as in training and lie as the network takes them, such as (N, C, H, W), or as the file stores them,
such as (N, H, W, C). Outputs lie as the network returns them, if the file states how it stores them, as files that
EdgePrune wrote do. What the file has in integers is quantized on the way in and dequantized on the way out.

With --serve it speaks the protocol of onnxruntime_runner.py. As each of the two is pushed alone, what both do is
written in both, word by word.
"""

from __future__ import annotations

import argparse
import base64
import gc
import importlib.metadata
import json
import mmap
import os
import platform
import struct
import sys
import time
from pathlib import Path
from typing import Any

try:
    import numpy as np

    try:
        from ai_edge_litert.interpreter import Interpreter

        RUNTIME = "ai-edge-litert"
    except ImportError:
        from tflite_runtime.interpreter import Interpreter

        RUNTIME = "tflite-runtime"
except ImportError as problem:
    line = f"{sys.executable} -m pip install 'numpy>=1.21' 'ai-edge-litert>=1.0'"
    raise SystemExit(f"LiteRT is missing here ({problem}): {line}") from None

PROTOCOL = 1

# One ReLU on one float. Running it before the baseline is taken makes the runtime load what every model needs.
_SMALLEST_MODEL = base64.b64decode(
    "GAAAAFRGTDMAAA4AFAAQAAwACAAAAAQADgAAABAAAAAcAAAA0AAAAAMAAAABAAAACAAAAAQABAAEAAAAAQAAABAAAAAMABQAEAAMAAgABAAMAAAA"
    "EAAAADwAAABAAAAARAAAAAEAAAAQAAAAAAAKAAwAAAAIAAQACgAAAAgAAAAMAAAAAQAAAAEAAAABAAAAAAAAAAEAAAABAAAAAQAAAAAAAAACAAAA"
    "MAAAAAQAAADk////CAAAAAwAAAABAAAAeQAAAAEAAAABAAAADAAMAAgAAAAAAAQADAAAAAgAAAAMAAAAAQAAAHgAAAABAAAAAQAAAAEAAAAQAAAA"
    "DAAMAAsAAAAAAAQADAAAABMAAAAAAAAT"
)
# Warm-up has ended when the medians of two windows of runs that follow each other differ by less than this share.
_STABLE = 0.02
_WINDOW_RUNS = 10
_WINDOW_S = 0.05  # a clock that rises under load takes some tens of milliseconds
_MOST_RUNS = 2000  # in one block or window that only waits for its time to pass
_ORDERS = b"edgeprune.orders"  # name of the metadata that states how inputs and outputs are stored
_MODEL_BUFFERS, _MODEL_METADATA, _METADATA_NAME, _METADATA_BUFFER, _BUFFER_DATA = (
    4,
    6,
    0,
    1,
    0,
)  # slots of TFLite tables


class Session:
    """A loaded model, given as a file or its content. Threads None: every core this process may use."""

    def __init__(self, model: str | bytes, threads: int | None) -> None:
        self.threads = threads or core_count()
        source = {"model_path": model} if isinstance(model, str) else {"model_content": model}
        self._interpreter = Interpreter(num_threads=self.threads, **source)
        self._interpreter.allocate_tensors()
        self.inputs: list[dict[str, Any]] = self._interpreter.get_input_details()
        self.outputs: list[dict[str, Any]] = self._interpreter.get_output_details()
        self.model = model

    def run(self, _outputs: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Run one inference on values as the file stores them; all outputs, so too."""
        for details in self.inputs:
            self._interpreter.set_tensor(details["index"], inputs[details["name"]])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(details["index"]) for details in self.outputs]


def random_inputs(session: Session, seed: int) -> dict[str, np.ndarray]:
    """Standard normal floats, or any integers, in the shapes the model takes."""
    rng = np.random.RandomState(seed)
    return {details["name"]: stored(details, rng.standard_normal(details["shape"])) for details in session.inputs}


def stored(details: dict[str, Any], values: np.ndarray) -> np.ndarray:
    """Values as the file stores them: quantized where it has them in integers."""
    scale, zero_point = details["quantization"]
    if not scale:
        return np.ascontiguousarray(values, details["dtype"])
    limits = np.iinfo(details["dtype"])
    return np.asarray(np.clip(np.rint(values / scale) + zero_point, limits.min, limits.max), details["dtype"])


def restored(details: dict[str, Any], values: np.ndarray) -> np.ndarray:
    """Real values of stored ones: quantized integers are dequantized."""
    scale, zero_point = details["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale) if scale else values


def core_count() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def time_runs(session: Session, inputs: dict[str, np.ndarray], runs: int, at_least_s: float = 0.0) -> list[float]:
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
        "runtime": RUNTIME,
        "runtime_version": importlib.metadata.version(RUNTIME),
    }


class Server:
    """Answers EdgePrune's commands."""

    def __init__(self) -> None:
        small = Session(_SMALLEST_MODEL, 1)
        np.median(time_runs(small, random_inputs(small, 0), 1))  # numpy loads parts of itself when first used
        del small
        gc.collect()
        gc.freeze()  # the collection before each measurement skips all that was imported, and so takes no time
        self.baseline_bytes = start_memory()
        self.session: Any = None
        self.inputs: dict[str, np.ndarray] = {}

    def machine(self) -> dict[str, Any]:
        """Description of this machine and of the runtime."""
        return _machine()

    def load(self, command: dict[str, Any]) -> dict[str, Any]:
        """Make a session and run it once; LiteRT's threads never spin."""
        started = time.perf_counter_ns()
        self.session = Session(command["model"], command["threads"])
        load_ms = (time.perf_counter_ns() - started) / 1e6
        self.inputs = random_inputs(self.session, command["seed"])
        first_ms = time_runs(self.session, self.inputs, 1)[0]
        return {"event": "loaded", "load_ms": load_ms, "first_ms": first_ms, "threads": self.session.threads}

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


def run_samples(session: Session, samples: np.ndarray) -> dict[str, np.ndarray]:
    """All outputs (N, ...) by name of samples (N, ...)."""
    details, orders = session.inputs[0], dimension_orders(session.model)
    shape = [int(size) for size in details["shape"]]
    as_stored = list(range(len(shape)))
    # Where the file states nothing, it was converted from images (N, C, H, W), or not reordered at all.
    layouts = [orders["inputs"][0], as_stored] if orders else [as_stored, [0, 2, 3, 1]]
    shapes = [[shape[place] for place in np.argsort(order)] for order in layouts if len(order) == len(shape)]
    match = next((place for place, one in enumerate(shapes) if one[1:] == list(samples.shape[1:])), None)
    if match is None:
        raise ValueError(f"the model takes {shapes[0]}, the file holds {list(samples.shape)}")
    batch, order = shapes[match][0], layouts[match]
    if len(samples) % batch:
        raise ValueError(f"the model takes {batch} samples at a time, the file holds {len(samples)}")
    parts = [
        session.run(None, {details["name"]: stored(details, samples[start : start + batch].transpose(order))})
        for start in range(0, len(samples), batch)
    ]
    outputs = {}
    for index, output in enumerate(session.outputs):
        values = [restored(output, part[index]) for part in parts]
        if orders:
            values = [value.transpose(np.argsort(orders["outputs"][index])) for value in values]
        outputs[output["name"]] = np.concatenate(values)
    return outputs


def dimension_orders(model: str | bytes) -> dict[str, list[list[int]]]:
    """For each input and output, the network's dimension that each stored dimension is; empty where not stated.

    This reads the metadata of the flatbuffer. TFLite runtimes do not return it.
    """
    if isinstance(model, bytes):
        return _stated_orders(model)
    with open(model, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return _stated_orders(content)


def _stated_orders(content: Any) -> dict[str, list[list[int]]]:
    (root,) = struct.unpack_from("<I", content, 0)
    for entry in _table_vector(content, root, _MODEL_METADATA):
        name = _field(content, entry, _METADATA_NAME)
        buffer = _field(content, entry, _METADATA_BUFFER)
        if name is None or buffer is None or _bytes(content, name) != _ORDERS:
            continue
        (number,) = struct.unpack_from("<I", content, buffer)
        data = _field(content, _table_vector(content, root, _MODEL_BUFFERS)[number], _BUFFER_DATA)
        return json.loads(_bytes(content, data)) if data is not None else {}
    return {}


def _field(content: Any, table: int, slot: int) -> int | None:
    """Position of a field of a table; None if the table does not have it."""
    vtable = table - struct.unpack_from("<i", content, table)[0]
    entry = 4 + 2 * slot
    size = struct.unpack_from("<H", content, vtable)[0]
    offset = struct.unpack_from("<H", content, vtable + entry)[0] if entry < size else 0
    return table + offset if offset else None


def _vector(content: Any, field: int) -> tuple[int, int]:
    """Position of the first element of the vector or string that a field refers to, and the number of elements."""
    start = field + struct.unpack_from("<I", content, field)[0]
    return start + 4, struct.unpack_from("<I", content, start)[0]


def _bytes(content: Any, field: int) -> bytes:
    start, count = _vector(content, field)
    return bytes(content[start : start + count])


def _table_vector(content: Any, table: int, slot: int) -> list[int]:
    """Positions of the tables in a vector of tables."""
    field = _field(content, table, slot)
    if field is None:
        return []
    start, count = _vector(content, field)
    places = range(start, start + 4 * count, 4)
    return [place + struct.unpack_from("<I", content, place)[0] for place in places]


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
    parser = argparse.ArgumentParser(description="Run a TFLite model with LiteRT.")
    beside = Path(__file__).resolve().parent / "model.tflite"
    parser.add_argument(
        "model", nargs="?", default=beside, help="a .tflite file; default: model.tflite beside this file"
    )
    parser.add_argument(
        "--input", metavar="FILE", help=".npy of samples (N, ...), scaled as in training; default: golden.npz"
    )
    parser.add_argument("--output", metavar="FILE", help=".npz for all outputs")
    parser.add_argument("--best", type=int, default=5, help="values shown of each output and sample (5)")
    parser.add_argument("--benchmark", type=int, metavar="RUNS", help="time so many inferences on random input")
    parser.add_argument("--threads", type=int, help="of one inference; default: every core")
    parser.add_argument("--serve", action="store_true", help="answer JSON commands on stdin")
    given = parser.parse_args()
    if given.serve:
        serve()
        return
    golden = beside.with_name("golden.npz")
    if given.input is None and given.benchmark is None:
        if not golden.is_file():
            parser.error("give --input or --benchmark: there is no golden.npz with samples beside this file")
        given.input = golden
    session = Session(str(given.model), given.threads)
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
        print("  ".join([*shown, f"min {min(taken):.4g} ms", f"{session.threads} threads"]))


if __name__ == "__main__":
    main()
