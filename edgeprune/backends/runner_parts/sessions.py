"""Measurements and command line of a runner whose runtime is a Python package: one session, numpy arrays.

The script has a class ``Session`` with

- ``threads``: threads of one inference
- ``run(None, inputs)``: run one inference; all outputs
- ``random_inputs(seed)``: inputs for ``run``
- ``run_samples(samples)``: all outputs (N, ...) by name of samples (N, ...)
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
    """Milliseconds of each inference, by a monotonic clock: so many, and more until so much time is over."""
    taken: list[float] = []
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter() + at_least_s
        while len(taken) < runs or (time.perf_counter() < end and len(taken) < MOST_RUNS):
            started = time.perf_counter_ns()
            session.run(None, inputs)
            taken.append((time.perf_counter_ns() - started) / 1e6)
    finally:
        gc.enable()
    return taken


def peak_memory() -> tuple[int, str]:
    """Highest resident memory of this process so far, in bytes, and where it was read."""
    status = linux_status()
    if "VmHWM" in status:
        return status["VmHWM"], "VmHWM"
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "ru_maxrss"


def start_memory() -> int:
    """Resident memory now, in bytes, from which on peaks count; earlier peaks are forgotten if possible."""
    status = linux_status()
    if "VmRSS" not in status:
        return peak_memory()[0]
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return peak_memory()[0]  # a peak cannot be forgotten, so what is said to be over it may be too little
    return status["VmRSS"]


def linux_status() -> dict[str, int]:
    """Sizes in /proc/self/status, in bytes; empty on another system."""
    try:
        with open("/proc/self/status") as file:
            lines = [line.split() for line in file]
    except OSError:
        return {}
    return {line[0].rstrip(":"): int(line[1]) * 1024 for line in lines if len(line) == 3 and line[2] == "kB"}


def cpu_name() -> str:
    """Name of the processor; empty if nothing states it."""
    cpu = platform.processor()
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith(("model name", "Model"))]
    except OSError:
        return cpu
    return names[0] if names else cpu


class SessionServer:
    """Answers EdgePrune's commands.

    Args:
        open_session: Loads a model, given as a file or its content, for a number of threads that may spin or not.
        runtime: Name and version of the runtime, and what else describes it.
        smallest_model: Content of a model that makes the runtime load what every model needs, before the baseline of
            the memory is taken.
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
        """Make a session and run it once."""
        self.loaded = command
        started = time.perf_counter_ns()
        self.session = self.open_session(command["model"], command["threads"], command["spinning"])
        load_ms = (time.perf_counter_ns() - started) / 1e6
        self.inputs = self.session.random_inputs(command["seed"])
        first_ms = time_runs(self.session, self.inputs, 1)[0]
        return {"event": "loaded", "load_ms": load_ms, "first_ms": first_ms, "threads": self.session.threads}

    def warm_up(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run until two windows that follow each other take the same time."""
        return run_until_stable(command, lambda: time_runs(self.session, self.inputs, WINDOW_RUNS, WINDOW_S), 1)

    def measure(self, command: dict[str, Any]) -> dict[str, Any]:
        """Time one block."""
        time_runs(self.session, self.inputs, command["warm_up"])
        taken = time_runs(self.session, self.inputs, command["runs"], command["at_least_s"])
        return {"event": "block", "latency_ms": taken}

    def memory(self, command: dict[str, Any]) -> dict[str, Any]:
        """Report the peak so far."""
        peak_bytes, source = peak_memory()
        return {"event": "memory", "peak_bytes": peak_bytes, "baseline_bytes": self.baseline_bytes, "source": source}

    def outputs(self, command: dict[str, Any]) -> dict[str, Any]:
        """Write what the model answers to samples."""
        np.savez(command["output"], **self.session.run_samples(np.load(command["input"])))
        return {"event": "outputs"}


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


def arguments(description: str, model: Path) -> argparse.ArgumentParser:
    """The command line of the bundle; ``model`` is the default."""
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
    parser.add_argument("--best", type=int, default=5, help="values shown of each output and sample (5)")
    parser.add_argument("--benchmark", type=int, metavar="RUNS", help="time so many inferences on random input")
    parser.add_argument("--threads", type=int, help="of one inference; default: every core")
    parser.add_argument("--serve", action="store_true", help="answer JSON commands on stdin")
    return parser


def run_command(
    parser: argparse.ArgumentParser,
    given: argparse.Namespace,
    golden: Path,
    open_session: Callable[[str | bytes, int | None, bool], Any],
    make_server: Callable[[], SessionServer],
) -> None:
    """Do what the arguments ask for: serve, run samples (by default those of ``golden``), or time inferences."""
    if given.serve:
        serve(make_server)
        return
    if given.input is None and given.benchmark is None:
        if not golden.is_file():
            parser.error(f"give --input or --benchmark: there is no {golden.name} with samples beside this file")
        given.input = golden
    session = open_session(str(given.model), given.threads, True)
    if given.input is not None:
        try:
            samples, stored = read_samples(given.input)
            outputs = session.run_samples(samples)
        except (OSError, ValueError) as problem:
            raise SystemExit(str(problem)) from None
        show_largest(outputs, given.best)
        if not show_agreement(outputs, stored):
            raise SystemExit(1)
        if given.output:
            np.savez(given.output, **outputs)
    if given.benchmark is not None:
        inputs = session.random_inputs(0)
        time_runs(session, inputs, max(WINDOW_RUNS, given.benchmark // 5))
        taken = time_runs(session, inputs, given.benchmark)
        shown = [f"p{rank} {np.percentile(taken, rank):.4g} ms" for rank in (50, 90, 99)]
        print("  ".join([*shown, f"min {min(taken):.4g} ms", f"{session.threads} threads"]))
