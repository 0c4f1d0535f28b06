"""ONNX Runtime with its CUDA provider, for a board without TensorRT."""

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
    """Replace this process by the runner of ONNX Runtime.

    Args:
        precision: Precision to run; None for the fastest.
        serve: Whether the runner answers JSON commands.

    Raises:
        EngineError: There is no such runner, or no file that it can run.
    """
    here = Path(__file__).resolve().parent
    runner = here / _FALLBACK
    if not runner.is_file():
        raise EngineError(f"there is no trtexec, and no {_FALLBACK} beside this file")
    say("no trtexec: ONNX Runtime with its CUDA provider")
    argv = [sys.executable, str(runner), "--provider", "cuda"]
    if serve:
        argv.append("--serve")
    else:
        argv += [str(_fallback_model(argv, here, precision)), "--benchmark", _FALLBACK_RUNS]
    os.execv(sys.executable, argv)  # noqa: S606


def _fallback_model(argv: Sequence[str], bundle: Path, precision: str | None) -> Path:
    """The file to run: ONNX Runtime too takes types from it. Q/DQ lie where TensorRT wants them: int8 comes last."""
    ships = shipped(bundle)
    wanted = (precision,) if precision else [name for name in ships if name != "int8"] or ships
    files = {name: bundle / onnx_name(STRONGLY_TYPED, name) for name in wanted}
    found = {name: path for name, path in files.items() if path.is_file()}
    if not found:
        raise EngineError(f"{bundle} has no {', '.join(path.name for path in files.values())}", exit_code=3)
    if len(found) == 1:
        return next(iter(found.values()))
    with contextlib.ExitStack() as stack:
        chosen = choose({name: stack.enter_context(_started(argv, path)) for name, path in found.items()})
    say(f"{chosen.precision}: {chosen.reason}")
    return found[chosen.precision]


@contextlib.contextmanager
def _started(argv: Sequence[str], model: Path) -> Iterator[Callable[[], float]]:
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
                raise EngineError(f"ONNX Runtime cannot run {model.name}: {said['message']}")
            return said

        answer()
        answer(do="load", model=str(model), threads=None, spinning=True, seed=0)
        answer(do="warm_up", at_least=10, at_most_s=10)
        yield lambda: statistics.median(answer(do="measure", warm_up=1, runs=10, at_least_s=1)["latency_ms"])
