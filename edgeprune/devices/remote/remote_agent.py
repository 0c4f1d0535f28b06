"""Keeps a private folder on a device for as long as the connection lives: run there as ``python3 -c``.

Needs Python 3.8 or newer and nothing else. It makes the folder, takes files for it and gives files back, one JSON
object a line on stdin, each answered by one on stdout. When stdin ends, however that comes about, it kills every
program that was started for the folder, and removes it.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from typing import Any

MARK = "EDGEPRUNE_WORKSPACE"  # in the environment of every program that was started for the folder
_PART_BYTES = 1 << 20
_KILL_S = 5


def say(**values: Any) -> None:
    """Write one answer as a line of JSON."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def put(folder: str, command: dict[str, Any]) -> None:
    """Write or append a part of a file. After the last part, the answer contains the SHA-256 of the file."""
    path = os.path.join(folder, command["name"])  # noqa: PTH118 - os is imported faster than pathlib, here and below
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
    with open(path, "wb" if command["first"] else "ab") as file:
        file.write(base64.b64decode(command["part"]))
        file.flush()
        os.fsync(file.fileno())
    say(path=path, sha256=_sha256(path) if command["last"] else None)


def get(folder: str, command: dict[str, Any]) -> None:
    """Answer with the parts of a file, and with None at the end."""
    with open(os.path.join(folder, command["name"]), "rb") as file:  # noqa: PTH118
        part = file.read(_PART_BYTES)
        while part:
            say(part=base64.b64encode(part).decode("ascii"))
            part = file.read(_PART_BYTES)
    say(part=None)


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(_PART_BYTES), b""):
            digest.update(part)
    return digest.hexdigest()


def started_for(folder: str, connection: int) -> set[int]:
    """Return the ids of processes that were started for the folder, or by other sessions of the connection.

    A session that is still in its login shell has no process with the mark of the folder, but is one of the latter.
    """
    mark = os.fsencode(MARK + "=" + folder)
    processes, parents = set(), {}
    for name in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else []):  # noqa: PTH112, PTH208
        with contextlib.suppress(OSError):
            with open("/proc/" + name + "/stat", "rb") as file:
                parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            with open("/proc/" + name + "/environ", "rb") as file:
                if mark in file.read().split(b"\0"):
                    processes.add(int(name))
    above = {connection}
    while above:
        above = {pid for pid, parent in parents.items() if parent in above}
        processes |= above
    return processes - {os.getpid()}


def end_programs(folder: str, connection: int) -> None:
    """Kill the processes of ``started_for`` until none remains. SIGKILL also ends stopped processes."""
    end = time.monotonic() + _KILL_S
    remaining = started_for(folder, connection)
    while remaining and time.monotonic() < end:
        for pid in remaining:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
        remaining = started_for(folder, connection)


def answer(folder: str, line: str) -> None:
    """Do what one line asks for."""
    try:
        command = json.loads(line)
        {"put": put, "get": get}[command["do"]](folder, command)
    except OSError as error:
        say(error=str(error.strerror or error))


def leave(*_arguments: object) -> None:
    """End in order when a signal says so."""
    raise SystemExit(1)


def main() -> None:
    """Live as long as stdin does."""
    if sys.version_info < (3, 8):  # noqa: UP036 - the device's own
        raise SystemExit("Python 3.8 or newer is needed, this is " + sys.version.split()[0])
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, leave)
    connection = os.getppid()  # the server's process for it: what belongs to 1 is not meant
    folder = tempfile.mkdtemp(prefix="edgeprune-")
    try:
        say(folder=folder)
        for line in iter(sys.stdin.readline, ""):
            answer(folder, line)
    finally:
        end_programs(folder, connection if connection > 1 else -1)
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        say(closed=True)


if __name__ == "__main__":
    main()
