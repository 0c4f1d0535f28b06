"""Fallback to ONNX Runtime with its CUDA provider, for boards without TensorRT."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from edgeprune.backends.tensorrt.runner_parts.choice import choose
from edgeprune.backends.tensorrt.runner_parts.engine_builder import shipped
from edgeprune.backends.tensorrt.runner_parts.engine_errors import EngineError, say
from edgeprune.backends.tensorrt.runner_parts.trtexec_commands import STRONGLY_TYPED, onnx_name

_FALLBACK = "onnxruntime_runner.py"
_FALLBACK_RUNS = "200"


def fall_back(precision: str | None, *, serve: bool) -> None:
    """Replace this process with the runner of ONNX Runtime.

    Args:
        precision: Precision to run; None for the fastest.
        serve: Whether the runner answers JSON commands.

    Raises:
        EngineError: The runner does not exist, or no model file exists that it can run.
    """
    bundle = Path(__file__).resolve().parent
    runner = bundle / _FALLBACK
    if not runner.is_file():
        raise EngineError(f"trtexec is not installed, and {runner} does not exist: install TensorRT")
    say("trtexec is not installed: running ONNX Runtime with CUDAExecutionProvider")
    argv = [sys.executable, str(runner), "--provider", "cuda"]
    if serve:
        argv.append("--serve")
    else:
        argv += [str(_fallback_model(argv, bundle, precision)), "--benchmark", _FALLBACK_RUNS]
    os.execv(sys.executable, argv)  # noqa: S606


def _fallback_model(argv: Sequence[str], bundle: Path, precision: str | None) -> Path:
    """Return the model file to run. int8 is the last choice, because its Q/DQ pairs are placed for TensorRT."""
    available = shipped(bundle)
    precisions = (precision,) if precision else [name for name in available if name != "int8"] or available
    files = {name: bundle / onnx_name(STRONGLY_TYPED, name) for name in precisions}
    existing = {name: path for name, path in files.items() if path.is_file()}
    if not existing:
        raise EngineError(f"{bundle}: expected {' or '.join(path.name for path in files.values())}", exit_code=3)
    if len(existing) == 1:
        return next(iter(existing.values()))
    with contextlib.ExitStack() as stack:
        choice = choose({name: stack.enter_context(_measuring_process(argv, path)) for name, path in existing.items()})
    say(f"{choice.precision}: {choice.reason}")
    return existing[choice.precision]


@contextlib.contextmanager
def _measuring_process(argv: Sequence[str], model: Path) -> Iterator[Callable[[], float]]:
    """Start a process that loads ``model`` and warms it up.

    Yields a function that measures a round and returns its median in milliseconds.
    """
    with subprocess.Popen([*argv, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def answer(**command: Any) -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            if command:
                print(json.dumps(command), file=process.stdin, flush=True)
            line = process.stdout.readline()
            response: dict[str, Any] = (
                json.loads(line) if line else {"event": "error", "message": "its process ended; see its output above"}
            )
            if response["event"] == "error":
                raise EngineError(f"ONNX Runtime cannot run {model.name}: {response['message']}")
            return response

        answer()
        answer(do="load", model=str(model), threads=None, spinning=True, seed=0)
        answer(do="warm_up", at_least=10, at_most_s=10)
        yield lambda: statistics.median(answer(do="measure", warm_up=1, runs=10, at_least_s=1)["latency_ms"])
