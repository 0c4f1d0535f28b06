#!/usr/bin/env python3
"""Measures the bundle's network with TensorRT on this board, for its user or for EdgePrune.

Requires Python 3.8 or newer and TensorRT's trtexec. Without trtexec, this script runs onnxruntime_runner.py in the same
folder with ONNX Runtime's CUDA provider (onnxruntime-gpu, numpy).

    python run.py                        build missing engines, select the fastest precision, measure its latency, and
                                         check its outputs for the samples in golden.npz in this folder
    python run.py --input samples.npy    largest outputs for each sample
    python run.py --precision fp16 --duration 30
    python run.py --layers layers.json   also write the time of each layer

With --serve, it answers JSON commands on stdin, see the function serve. "load" takes two more optional keys, and
"loaded" has the precision and the reason for it:

    {"do": "load", "model": "model.onnx", "spinning": true, "precision": "fp16", "engines": "folder/to/keep/them"}

A block is one run of trtexec, which includes its own warm-up. Latency is input copy, compute and output copy.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune.backends.runner_parts.serving import describe_machine, run_until_stable, serve
from edgeprune.backends.tensorrt.runner_parts.engine import WARM_UP_MS
from edgeprune.backends.tensorrt.runner_parts.engine_builder import Builder
from edgeprune.backends.tensorrt.runner_parts.engine_errors import EngineError, say
from edgeprune.backends.tensorrt.runner_parts.memory_watch import MemoryWatch
from edgeprune.backends.tensorrt.runner_parts.npy_files import read_expected, read_samples, write_outputs
from edgeprune.backends.tensorrt.runner_parts.onnxruntime_fallback import fall_back
from edgeprune.backends.tensorrt.runner_parts.trtexec_commands import PRECISIONS, TrtexecRun, measure_flags
from edgeprune.backends.tensorrt.runner_parts.trtexec_program import find_trtexec
from edgeprune.backends.tensorrt.runner_parts.trtexec_results import parse_bindings

if TYPE_CHECKING:
    Output = tuple[tuple[int, ...], Sequence[float]]  # shape and values in C order

_WINDOW_S = 1


class Server:
    """Server for EdgePrune's commands."""

    def __init__(self, builder: Builder, folder: Path) -> None:
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
        """Build the engine if necessary, and run it once."""
        start = time.monotonic()
        engines = Path(command.get("engines") or self._folder / "engines")
        prepared = self._builder.prepare(Path(command["model"]), engines, command.get("precision"))
        build_s = time.monotonic() - start
        flags = measure_flags(self._builder.version, spin=command["spinning"])
        self._engine = self._builder.engine(prepared.engine, self._folder, flags)
        answer = {
            "event": "loaded",
            "threads": 1,
            "flags": flags,
            "precision": prepared.precision,
            "reason": prepared.reason,
            "built": prepared.built,
            "build_s": build_s,
        }
        with self._memory.watching():
            answer["first_ms"] = self._engine.run(TrtexecRun(0, 0, 1))[0]["latency_ms"]
        # Said by every release from 8.5 to 10.x; where one does not say it, it is left out.
        match = re.search(r"Engine deserialized in ([\d.e-]+) sec", self._engine.printed)
        if match:
            answer["load_ms"] = float(match.group(1)) * 1000
        return answer

    def warm_up(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run until two consecutive runs of trtexec take the same time."""

        def run_window() -> list[float]:
            return [entry["latency_ms"] for entry in self._run(_WINDOW_S, 1)]

        return run_until_stable(command, run_window, 0)

    def measure(self, command: dict[str, Any]) -> dict[str, Any]:
        """Measure a block of inferences."""
        times = self._run(max(1, math.ceil(command["at_least_s"])), command["runs"])
        return {"event": "block", **{name: [entry[name] for entry in times] for name in ("latency_ms", "compute_ms")}}

    def layers(self, command: dict[str, Any]) -> dict[str, Any]:
        """Report the data that trtexec exports for each layer."""
        return {"event": "layers", **self._engine.layers()}

    def outputs(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run samples and write all outputs to a file, if trtexec can export them."""
        parts = [self._engine.outputs(sample) for sample in read_samples(Path(command["input"]))]
        if None in parts:
            return {"event": "outputs", "unknown": True}
        write_outputs(Path(command["output"]), parts)
        return {"event": "outputs"}

    def memory(self, command: dict[str, Any]) -> dict[str, Any]:
        """Report the memory peak so far."""
        return {
            "event": "memory",
            "peak_bytes": self._memory.peak_bytes,
            "baseline_bytes": self._memory.baseline_bytes,
            "source": "MemAvailable of the board",
        }

    def _run(self, duration_s: int, iterations: int) -> list[dict[str, float]]:
        with self._memory.watching():
            times: list[dict[str, float]] = self._engine.run(
                TrtexecRun(warm_up_ms=WARM_UP_MS, duration_s=duration_s, iterations=iterations)
            )
        return times


def relative_error(output: Sequence[float], expected: Sequence[float]) -> float:
    """Largest difference divided by the largest finite expected value; infinite for NaN and missing values."""
    if len(output) != len(expected):
        return math.inf
    scale = max((abs(value) for value in expected if math.isfinite(value)), default=0) or 1.0
    errors = [abs(actual - reference) / scale for actual, reference in zip(output, expected) if actual != reference]  # noqa: B905
    return max((math.inf if math.isnan(error) else error for error in errors), default=0)


def show_largest(outputs: Mapping[str, Sequence[Output]], count: int) -> None:
    """Print the largest values of each output for each sample, with their indices."""
    for name, samples in outputs.items():
        print(f"output {name}, largest values as index: value")
        for sample, (shape, values) in enumerate(samples):
            largest = sorted(range(len(values)), key=values.__getitem__, reverse=True)[:count]
            entries = [f"{', '.join(map(str, _unravel(index, shape[1:])))}: {values[index]:.4g}" for index in largest]
            print("  ".join([f"sample {sample}", *entries]))


def _unravel(index: int, shape: Sequence[int]) -> list[int]:
    """Convert ``index`` in C order to an index along each dimension."""
    indices: list[int] = []
    for length in reversed(shape or (1,)):
        index, position = divmod(index, length)
        indices.insert(0, position)
    return indices


def benchmark(builder: Builder, options: argparse.Namespace) -> None:
    """Build the engine if necessary, measure it, run the samples, and print the results.

    Raises:
        EngineError: The outputs differ from those in golden.npz.
    """
    bundle = Path(__file__).resolve().parent
    golden = bundle / "golden.npz"
    samples_file = options.input or (golden if golden.is_file() else None)
    samples = [] if samples_file is None else read_samples(samples_file)
    prepared = builder.prepare(bundle / "model.onnx", options.engines or bundle / "engines", options.precision)
    say(f"{prepared.precision}: {prepared.reason}")
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
        engine = builder.engine(prepared.engine, Path(folder), measure_flags(builder.version))
        times = engine.run(TrtexecRun(warm_up_ms=WARM_UP_MS, duration_s=options.duration))
        if options.layers:
            Path(options.layers).write_text(json.dumps(engine.layers(), indent=1) + "\n")
        parts = [engine.outputs(sample) for sample in samples]
        _, names = parse_bindings(engine.printed)
    ranks = statistics.quantiles([entry["latency_ms"] for entry in times], n=100, method="inclusive")
    figures = [f"p{rank} {ranks[rank - 1]:.4g} ms" for rank in (50, 90, 99)]
    print("  ".join([*figures, f"{len(times)} runs", prepared.precision, f"TensorRT {builder.version}", *engine.flags]))
    if None in parts:
        say("no outputs: trtexec does not name those of the network, or the network has several inputs")
    elif samples_file is not None:
        outputs = dict(zip(names, zip(*parts)))  # noqa: B905 - Python 3.8
        show_largest(outputs, options.best)
        expected = read_expected(samples_file, prepared.precision)
        if expected is not None:
            _show_agreement(outputs, *expected)


def _show_agreement(
    outputs: Mapping[str, Sequence[Output]], expected: Sequence[Sequence[float]], tolerance: float
) -> None:
    """Print that the outputs are as expected.

    Raises:
        EngineError: The outputs differ by more than the tolerance.
    """
    flat = [[value for _, values in samples for value in values] for samples in outputs.values()]
    error = max(map(relative_error, flat, expected), default=0) if len(flat) == len(expected) else math.inf
    figures = f"relative error {error:.2g}, allowed {tolerance:.2g}"
    if error > tolerance:
        raise EngineError(f"outputs are NOT as expected: {figures}", exit_code=1)
    print(f"outputs are as expected: {figures}")


def main() -> None:
    """Run the command line of the script."""
    parser = argparse.ArgumentParser(description="Measure a network with TensorRT.")
    parser.add_argument("--precision", choices=PRECISIONS, help="default: the fastest on this device")
    parser.add_argument(
        "--duration", type=int, default=10, metavar="S", help="duration of the measurement in seconds (10)"
    )
    parser.add_argument(
        "--input",
        type=Path,
        metavar="FILE",
        help=".npy of samples (N, ...), scaled as in training; default: golden.npz",
    )
    parser.add_argument(
        "--best", type=int, default=5, help="number of largest values to print for each output and sample (5)"
    )
    parser.add_argument("--layers", metavar="FILE", help="write time and description of each layer as JSON")
    parser.add_argument("--engines", type=Path, help="folder for engines; default: engines/ in the folder of this file")
    parser.add_argument("--serve", action="store_true", help="answer JSON commands on stdin")
    options = parser.parse_args()
    try:
        if find_trtexec() is None:
            fall_back(options.precision, serve=options.serve)
        builder = Builder()
        if options.serve:
            with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
                serve(lambda: Server(builder, Path(folder)))
        else:
            benchmark(builder, options)
    except (EngineError, OSError) as problem:
        say(f"error: {problem}")
        raise SystemExit(getattr(problem, "exit_code", 3)) from None


if __name__ == "__main__":
    main()
