#!/usr/bin/env python3
"""Runs an ONNX model with ONNX Runtime on samples, as a benchmark, or for EdgePrune's measurements.

Requires Python 3.8 or newer, numpy and onnxruntime (pip install -r requirements.txt).

    python run.py --input samples.npy              largest outputs for each sample, of model.onnx in this folder
    python run.py --input samples.npy --output out.npz
    python run.py --benchmark 200 --threads 4      latency on random input
    python run.py --benchmark 200 --provider cuda  on an NVIDIA GPU (onnxruntime-gpu)
    python run.py --serve                          answer JSON commands on stdin, see the function serve
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgeprune.backends.runner_parts.serving import core_count
from edgeprune.backends.runner_parts.sessions import SessionServer, arguments, run_command, time_runs

try:
    import numpy as np
    import onnxruntime
except ImportError as problem:
    line = f"{sys.executable} -m pip install 'numpy>=1.21' 'onnxruntime>=1.12'"
    raise SystemExit(f"ONNX Runtime is not installed ({problem}): run {line}") from None

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


class Session:
    """Loaded model that uses ONNX Runtime alone. None as the number of threads selects all available cores."""

    def __init__(
        self,
        model: str | bytes,
        threads: int | None,
        spinning: bool,
        *,
        provider: str,
        profile: Path | None = None,
    ) -> None:
        options = session_options(threads, spinning)
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(profile)
        self.session = open_session(model, options, provider)
        self.threads = options.intra_op_num_threads
        self.run = self.session.run

    def random_inputs(self, seed: int) -> dict[str, np.ndarray]:
        """Standard normal floats, or small integers, in the shapes of the model. Dynamic dimensions are 1."""
        rng = np.random.RandomState(seed)
        inputs: dict[str, np.ndarray] = {}
        for value in self.session.get_inputs():
            shape = [size if isinstance(size, int) and size > 0 else 1 for size in value.shape]
            if value.type not in _TYPES:
                raise ValueError(f"input {value.name} has the unsupported type {value.type}")
            kind = _TYPES[value.type]
            values = rng.standard_normal(shape) if np.issubdtype(kind, np.floating) else rng.randint(0, 2, shape)
            inputs[value.name] = values.astype(kind)
        return inputs

    def run_samples(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        """Run samples (N, ...) and return all outputs (N, ...) by name."""
        value = self.session.get_inputs()[0]
        batch = value.shape[0] if isinstance(value.shape[0], int) else 1
        if list(samples.shape[1:]) != list(value.shape[1:]):
            raise ValueError(f"expected samples of shape {value.shape}, but the file has {list(samples.shape)}")
        if len(samples) % batch:
            raise ValueError(f"the model needs batches of {batch} samples, but the file has {len(samples)}")
        parts = [
            self.run(None, {value.name: np.ascontiguousarray(samples[start : start + batch], _TYPES[value.type])})
            for start in range(0, len(samples), batch)
        ]
        outputs = [np.concatenate(part) for part in zip(*parts)]  # noqa: B905 - Python 3.8
        return dict(zip([output.name for output in self.session.get_outputs()], outputs))  # noqa: B905


def session_options(threads: int | None, spinning: bool) -> onnxruntime.SessionOptions:
    """Session options for one model that uses the runtime alone. None for threads selects all available cores."""
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
    """Open a session on ``provider``: ``cpu``, or ``cuda`` with the CPU for nodes that the GPU does not support."""
    provider_name = _PROVIDERS[provider]
    providers = list(dict.fromkeys([provider_name, _PROVIDERS["cpu"]]))
    if provider_name in onnxruntime.get_available_providers():
        session = onnxruntime.InferenceSession(model, options, providers=providers)
        if provider_name in session.get_providers():  # the runtime skips a provider that fails to start
            return session
    raise RuntimeError(f"ONNX Runtime {onnxruntime.__version__} cannot start {provider_name} on this device")


class Server(SessionServer):
    """Server for EdgePrune's commands."""

    def __init__(self, provider: str) -> None:
        self.provider = provider
        runtime = {
            "runtime": "onnxruntime",
            "runtime_version": onnxruntime.__version__,
            "provider": provider,
        }
        super().__init__(self.open, runtime, _SMALLEST_MODEL)

    def open(self, model: str | bytes, threads: int | None, spinning: bool) -> Session:
        """Open a session on the provider."""
        return Session(model, threads, spinning, provider=self.provider)

    def layers(self, command: dict[str, Any]) -> dict[str, Any]:
        """Report the time of every node of the optimized graph, measured with the profiler of ONNX Runtime."""
        model, threads, spinning = (self.loaded[key] for key in ("model", "threads", "spinning"))
        with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
            profile = Path(folder) / "profile"
            session = Session(model, threads, spinning, provider=self.provider, profile=profile)
            time_runs(session, self.inputs, 1 + command["runs"])
            with open(session.session.end_profiling()) as file:
                events = [event for event in json.load(file) if event.get("cat") == "Node"]
        times_us: dict[tuple[str, str, str], list[float]] = {}
        for event in events:
            name, _, suffix = event["name"].rpartition("_kernel_")
            if suffix == "time":
                arguments = event.get("args", {})
                node = arguments.get("node_index", ""), name, arguments.get("op_name", "")
                times_us.setdefault(node, []).append(event["dur"])
        # Whole microseconds: the mean of the middle half says more than the median. The first run is slower.
        middle = slice(command["runs"] // 4, command["runs"] - command["runs"] // 4)
        layers = [
            {"name": name, "kind": kind, "ms": float(np.mean(sorted(times[1:])[middle])) / 1e3}
            for (_, name, kind), times in times_us.items()
        ]
        return {"event": "layers", "runs": command["runs"], "layers": layers}


def main() -> None:
    """Run the command line of the runner."""
    folder = Path(__file__).resolve().parent
    parser = arguments("Run an ONNX model with ONNX Runtime.", folder / "model.onnx")
    parser.add_argument("--provider", choices=sorted(_PROVIDERS), default="cpu", help="execution provider (cpu)")
    options = parser.parse_args()

    def open_session_on_provider(model: str | bytes, threads: int | None, spinning: bool) -> Session:
        return Session(model, threads, spinning, provider=options.provider)

    run_command(parser, options, folder / "golden.npz", open_session_on_provider, lambda: Server(options.provider))


if __name__ == "__main__":
    main()
