"""Measurements and command line of a runner whose runtime is a Python package with numpy arrays.

The script defines a class ``Session`` with

- ``threads``: number of threads of one inference
- ``run(None, inputs)``: run one inference and return all outputs
- ``random_inputs(seed)``: random inputs for ``run``
- ``run_samples(samples)``: run samples (N, ...) and return all outputs (N, ...) by name
"""

from __future__ import annotations

import argparse
import gc
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeprune.backends.runner_parts.serving import describe_machine, run_until_stable, serve

WINDOW_RUNS = 10
WINDOW_S = 0.05  # a clock that rises under load takes some tens of milliseconds
MOST_RUNS = 2000  # in one block or window that only waits for its time to pass


def time_runs(session: Any, inputs: dict[str, np.ndarray], runs: int, at_least_s: float = 0.0) -> list[float]:
    """Measure ``runs`` inferences, or more until ``at_least_s`` seconds have passed; return each in milliseconds."""
    times_ms: list[float] = []
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter() + at_least_s
        while len(times_ms) < runs or (time.perf_counter() < end and len(times_ms) < MOST_RUNS):
            start = time.perf_counter_ns()
            session.run(None, inputs)
            times_ms.append((time.perf_counter_ns() - start) / 1e6)
    finally:
        gc.enable()
    return times_ms


def peak_memory() -> tuple[int, str]:
    """Peak resident memory of this process so far in bytes, and the source of the value."""
    status = linux_status()
    if "VmHWM" in status:
        return status["VmHWM"], "VmHWM"
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "ru_maxrss"


def start_memory() -> int:
    """Reset the memory peak if possible, and return the current resident memory in bytes as the baseline."""
    status = linux_status()
    if "VmRSS" not in status:
        return peak_memory()[0]
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return peak_memory()[0]  # the peak cannot be reset, so the reported increase may be too small
    return status["VmRSS"]


def linux_status() -> dict[str, int]:
    """Sizes in /proc/self/status in bytes; empty if the system is not Linux."""
    try:
        with open("/proc/self/status") as file:
            lines = [line.split() for line in file]
    except OSError:
        return {}
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if len(line) == 3 and line[2] == "kB"}


def cpu_name() -> str:
    """Name of the processor; empty if the system does not report it."""
    cpu = platform.processor()
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith(("model name", "Model"))]
    except OSError:
        return cpu
    return names[0] if names else cpu


class SessionServer:
    """Server for EdgePrune's commands.

    Args:
        open_session: Function that loads a model. Its arguments are a path or file content, the number of threads, and
            whether they spin.
        runtime: Name, version and other properties of the runtime.
        smallest_model: Content of a small model. Running it makes the runtime load everything that all models need,
            before the memory baseline is measured.
    """

    def __init__(
        self,
        open_session: Callable[[str | bytes, int | None, bool], Any],
        runtime: dict[str, Any],
        smallest_model: bytes,
    ) -> None:
        self.open_session, self.runtime = open_session, runtime
        small = open_session(smallest_model, 1, False)
        np.median(time_runs(small, small.random_inputs(0), 1))  # numpy loads parts of itself when first used
        del small
        gc.collect()
        gc.freeze()  # the collection before each measurement skips all that was imported, and so takes no time
        self.baseline_bytes = start_memory()
        self.session: Any = None
        self.loaded: dict[str, Any] = {}
        self.inputs: dict[str, np.ndarray] = {}

    def machine(self) -> dict[str, Any]:
        """Description of this machine and of the runtime."""
        return {**describe_machine(), "cpu": cpu_name(), **self.runtime}

    def load(self, command: dict[str, Any]) -> dict[str, Any]:
        """Load a model and run it once."""
        self.loaded = command
        start = time.perf_counter_ns()
        self.session = self.open_session(command["model"], command["threads"], command["spinning"])
        load_ms = (time.perf_counter_ns() - start) / 1e6
        self.inputs = self.session.random_inputs(command["seed"])
        first_ms = time_runs(self.session, self.inputs, 1)[0]
        return {"event": "loaded", "load_ms": load_ms, "first_ms": first_ms, "threads": self.session.threads}

    def warm_up(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run until two consecutive windows take the same time."""
        return run_until_stable(command, lambda: time_runs(self.session, self.inputs, WINDOW_RUNS, WINDOW_S), 1)

    def measure(self, command: dict[str, Any]) -> dict[str, Any]:
        """Measure a block of inferences."""
        time_runs(self.session, self.inputs, command["warm_up"])
        times_ms = time_runs(self.session, self.inputs, command["runs"], command["at_least_s"])
        return {"event": "block", "latency_ms": times_ms}

    def memory(self, command: dict[str, Any]) -> dict[str, Any]:
        """Report the memory peak so far."""
        peak_bytes, source = peak_memory()
        return {"event": "memory", "peak_bytes": peak_bytes, "baseline_bytes": self.baseline_bytes, "source": source}

    def outputs(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run samples and write the outputs to a file."""
        np.savez(command["output"], **self.session.run_samples(np.load(command["input"])))
        return {"event": "outputs"}


def read_samples(path: str | Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read samples (N, ...) from an .npy file, or the array "input" and all arrays from an .npz file."""
    stored = np.load(path)
    if not hasattr(stored, "files"):
        return stored, {}
    if "input" not in stored.files:
        raise ValueError(f"{path}: expected an array 'input', found {', '.join(stored.files) or 'none'}")
    return stored["input"], {key: stored[key] for key in stored.files}


def relative_error(output: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference divided by the largest finite expected value. Equal infinities do not differ."""
    actual, reference = np.asarray(output, np.float64), np.asarray(expected, np.float64)
    different = actual != reference
    scale = np.abs(reference[np.isfinite(reference)]).max(initial=0) or 1.0
    return float(np.abs(actual[different] - reference[different]).max(initial=0) / scale)


def show_agreement(outputs: dict[str, np.ndarray], stored: dict[str, np.ndarray]) -> bool:
    """Print and return whether the outputs match golden.npz; True if it has no expected outputs."""
    expected = [stored[f"output_{index}"] for index in range(len(outputs)) if f"output_{index}" in stored]
    if len(expected) != len(outputs) or "tolerance" not in stored:
        return True
    errors = [relative_error(output, reference) for output, reference in zip(outputs.values(), expected)]  # noqa: B905
    agrees = max(errors) <= float(stored["tolerance"])
    result = "as expected" if agrees else "NOT as expected"
    print(f"outputs are {result}: relative error {max(errors):.2g}, allowed {float(stored['tolerance']):.2g}")
    return agrees


def show_largest(outputs: dict[str, np.ndarray], count: int) -> None:
    """Print the largest values of each output for each sample, with their indices."""
    for name, samples in outputs.items():
        print(f"output {name}, largest values as index: value")
        for sample, values in enumerate(map(np.atleast_1d, samples)):
            largest = np.argsort(values, axis=None)[::-1][:count]
            indices = zip(*np.unravel_index(largest, values.shape))  # noqa: B905 - Python 3.8
            entries = [f"{', '.join(map(str, index))}: {float(values[index]):.4g}" for index in indices]
            print("  ".join([f"sample {sample}", *entries]))


def arguments(description: str, model: Path) -> argparse.ArgumentParser:
    """Command-line parser of the runner in a bundle. ``model`` is the default model file."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "model",
        nargs="?",
        default=model,
        help=f"file with the suffix {model.suffix}; default: {model.name}",
    )
    parser.add_argument(
        "--input", metavar="FILE", help=".npy of samples (N, ...), scaled as in training; default: golden.npz"
    )
    parser.add_argument("--output", metavar="FILE", help=".npz for all outputs")
    parser.add_argument(
        "--best", type=int, default=5, help="number of largest values to print for each output and sample (5)"
    )
    parser.add_argument(
        "--benchmark", type=int, metavar="RUNS", help="measure this number of inferences on random input"
    )
    parser.add_argument("--threads", type=int, help="threads of one inference; default: all cores")
    parser.add_argument("--serve", action="store_true", help="answer JSON commands on stdin")
    return parser


def run_command(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    golden: Path,
    open_session: Callable[[str | bytes, int | None, bool], Any],
    make_server: Callable[[], SessionServer],
) -> None:
    """Serve commands, run samples (by default those of ``golden``) or measure inferences, as the options request."""
    if options.serve:
        serve(make_server)
        return
    if options.input is None and options.benchmark is None:
        if not golden.is_file():
            parser.error(f"give --input or --benchmark: {golden.name} does not exist in the folder of this file")
        options.input = golden
    session = open_session(str(options.model), options.threads, True)
    if options.input is not None:
        try:
            samples, stored = read_samples(options.input)
            outputs = session.run_samples(samples)
        except (OSError, ValueError) as problem:
            raise SystemExit(str(problem)) from None
        show_largest(outputs, options.best)
        if not show_agreement(outputs, stored):
            raise SystemExit(1)
        if options.output:
            np.savez(options.output, **outputs)
    if options.benchmark is not None:
        inputs = session.random_inputs(0)
        time_runs(session, inputs, max(WINDOW_RUNS, options.benchmark // 5))
        times_ms = time_runs(session, inputs, options.benchmark)
        figures = [f"p{rank} {np.percentile(times_ms, rank):.4g} ms" for rank in (50, 90, 99)]
        print("  ".join([*figures, f"min {min(times_ms):.4g} ms", f"{session.threads} threads"]))
