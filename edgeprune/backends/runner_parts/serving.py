"""Server loop of a runner. It needs only the standard library."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

PROTOCOL = 1
COMMANDS = ("load", "warm_up", "measure", "memory", "layers", "outputs")
# Warm-up has ended when the medians of two windows of runs that follow each other differ by less than this share.
STABLE = 0.02


def serve(make_server: Callable[[], Any]) -> None:
    """Read one JSON command per line from stdin and answer each on stdout, until "end" or the end of stdin.

        {"do": "load", "model": "model.onnx", "threads": 4, "spinning": true, "seed": 0}
        {"do": "warm_up", "at_least": 20, "at_most_s": 10}
        {"do": "measure", "warm_up": 5, "runs": 100, "at_least_s": 0.25}
        {"do": "memory"}
        {"do": "layers", "runs": 20}
        {"do": "outputs", "input": "samples.npy", "output": "out.npz"}
        {"do": "end"}

    The first output line, "ready", lists the commands. The answer to a failed command is
    {"event": "error", "message": ...}. The server has a method for each command, and a method ``machine`` that
    describes the machine and the runtime.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not get between the answers

    def answer(value: dict[str, Any]) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    server = make_server()
    commands = {name: getattr(server, name) for name in COMMANDS if hasattr(server, name)}
    answer(dict(server.machine(), event="ready", protocol=PROTOCOL, commands=list(commands)))
    for line in iter(sys.stdin.readline, ""):
        try:
            command = json.loads(line)
            if command["do"] == "end":
                break
            answer(commands[command["do"]](command))
        except Exception as error:  # noqa: BLE001 - the other side reports every error
            answer({"event": "error", "message": f"{type(error).__name__}: {error}"})


def run_until_stable(command: dict[str, Any], run_window: Callable[[], list[float]], runs: int) -> dict[str, Any]:
    """Run windows until two consecutive ones take the same time, and return the answer to "warm_up".

    Args:
        command: Command with the smallest number of runs and the time limit.
        run_window: Function that runs a window and returns the duration of each inference in milliseconds.
        runs: Number of inferences so far.
    """
    end = time.monotonic() + command["at_most_s"]
    stable, previous = False, None
    while time.monotonic() < end and not (stable and runs >= command["at_least"]):
        window = run_window()
        median = statistics.median(window)
        runs += len(window)
        stable = previous is not None and abs(median - previous) <= STABLE * previous
        previous = median
    return {"event": "warm", "runs": runs, "stable": stable}


def core_count() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe_machine() -> dict[str, Any]:
    """Description of this machine, as far as it is available."""
    return {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": core_count(),
        "python": platform.python_version(),
    }
