"""Execution of TFLite Micro in a separate process, for files of unknown origin whose shapes may crash its kernels.

A well-formed file may have, for example, a MEAN without axes. EdgePrune cannot detect all such cases beforehand.
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
"""Limit of the address space in bytes. Libraries reserve some GiB that they never use."""


def arena(path: Path, *, timeout_s: float = _TIMEOUT_S) -> Arena:
    """Load the file ``path``, run it once on zeros, and return its arena.

    Raises:
        ModelError: TFLite Micro cannot run the file, crashes, or exceeds ``timeout_s`` seconds.
        MissingPackageError: TFLite Micro is not installed.
    """
    extras.check("mcu")
    try:
        completed = subprocesses.run([sys.executable, "-m", __name__, str(path)], timeout_s=timeout_s)
    except TimeoutExpired as problem:
        raise ModelError(f"TFLite Micro did not finish running {path} within {timeout_s:g} s") from problem
    if completed.returncode < 0:
        name = signal.Signals(-completed.returncode).name
        raise ModelError(
            f"TFLite Micro crashed on {path} ({name}): an operator has inputs that its kernel does not support"
        )
    try:
        answer = safe_json.loads(completed.stdout)
    except ValueError as problem:
        raise ModelError(f"TFLite Micro failed on {path}: {completed.stderr.strip()[-500:]}") from problem
    if "problem" in answer:
        raise ModelError(answer["problem"])
    return Arena(**{**answer, "by_kind": {name: AllocationKind(**kind) for name, kind in answer["by_kind"].items()}})


def _main(path: Path) -> None:
    import numpy as np

    from edgeprune.backends.tflm.interpreter import Interpreter

    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        interpreter = Interpreter(path, sandboxed=True)
        interpreter.run_stored([np.zeros(port.shape, port.dtype) for port in interpreter.inputs])
        answer = asdict(interpreter.arena())
    except EdgePruneError as problem:
        answer = {"problem": str(problem)}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
