"""TFLite Micro in a process of its own, for files of unknown origin: surprising shapes make its kernels crash.

A file may be well formed and still have a MEAN without axes; there is no way to see all of that beforehand.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from subprocess import TimeoutExpired

from edgeprune import extras, safe_json, subprocesses
from edgeprune.backends.footprint import AllocationKind, Arena
from edgeprune.errors import EdgePruneError, ModelError

_TIMEOUT_S = 120.0
_MOST_MEMORY_BYTES = 8 << 30
"""Bytes of address space; libraries reserve some GiB that they never touch."""


def arena(path: Path, *, timeout_s: float = _TIMEOUT_S) -> Arena:
    """Load the file at ``path``, run it once on zeros, and take its arena.

    Raises:
        ModelError: TFLite Micro cannot run it, crashes on it, or does not come to an end.
        MissingPackageError: TFLite Micro is not installed.
    """
    extras.check("mcu")
    try:
        ended = subprocesses.run([sys.executable, "-m", __name__, str(path)], timeout_s=timeout_s)
    except TimeoutExpired as problem:
        raise ModelError(f"TFLite Micro does not come to an end with {path} within {timeout_s:.0f} s") from problem
    if ended.returncode < 0:
        name = signal.Signals(-ended.returncode).name
        raise ModelError(
            f"TFLite Micro crashes on {path} ({name}): an operator has inputs that its kernel does not expect"
        )
    try:
        answer = safe_json.loads(ended.stdout)
    except ValueError as problem:
        raise ModelError(f"TFLite Micro fails on {path}: {ended.stderr.strip()[-500:]}") from problem
    if "problem" in answer:
        raise ModelError(answer["problem"])
    return Arena(**{**answer, "by_kind": {name: AllocationKind(**kind) for name, kind in answer["by_kind"].items()}})


def _main(path: Path) -> None:
    import numpy as np

    from edgeprune.backends.tflm.interpreter import Interpreter

    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        interpreter = Interpreter(path, alone=True)
        interpreter.run_stored([np.zeros(port.shape, port.dtype) for port in interpreter.inputs])
        answer = asdict(interpreter.arena())
    except EdgePruneError as problem:
        answer = {"problem": str(problem)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
