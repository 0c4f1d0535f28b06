"""Processes that start at once: they are forked from a server that has imported what takes seconds to import."""

from __future__ import annotations

import fnmatch
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        "edgeprune.cli", "edgeprune.cli.build", "edgeprune.pruning", "edgeprune.quantize", "onnxruntime",
        "onnxruntime.quantization", "onnxsim", "sklearn.datasets", "torch.export._trace", "torch.onnx",
    ]
)  # fmt: skip


def start(function: Callable[..., None], *arguments: Any, folder: Path, log: Path | None = None) -> BaseProcess:
    """Run ``function`` in a process of its own, in ``folder``.

    ``function`` is one of a module. What it prints goes into ``log`` with the suffixes ``.out`` and ``.err``.
    """
    process = _SERVER.Process(target=_run, args=(function, arguments, folder, log, dict(os.environ)))
    process.start()
    return process


def build(*arguments: str, kill_in: str | None = None) -> None:
    """Run ``edgeprune build``, with SIGKILL where the stage ``kill_in`` begins, however short that is."""
    from edgeprune.cli import main

    def kill(event: str, values: tuple[Any, ...]) -> None:
        if event == "os.mkdir" and fnmatch.fnmatch(os.fspath(values[0]), f"*work/{kill_in}-*/out"):
            os.kill(os.getpid(), signal.SIGKILL)

    if kill_in is not None:
        sys.addaudithook(kill)
    sys.argv = ["edgeprune", "build", *arguments]
    main()


def _run(
    function: Callable[..., None],
    arguments: tuple[Any, ...],
    folder: Path,
    log: Path | None,
    environment: dict[str, str],
) -> None:
    os.environ.clear()
    os.environ.update(environment)  # those of the caller, not of the server
    os.chdir(folder)
    if log is not None:
        for stream, name in ((1, "out"), (2, "err")):
            with log.with_suffix(f".{name}").open("wb") as file:
                os.dup2(file.fileno(), stream)
    function(*arguments)
