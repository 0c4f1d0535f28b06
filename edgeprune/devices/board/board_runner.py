"""Adapter that lets a board on a serial port answer the protocol of runners."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from edgeprune.devices.base import Workspace
from edgeprune.devices.board import board_protocol
from edgeprune.devices.board.serial_link import CommandError, SerialLink
from edgeprune.devices.local_workspace import LocalFiles, opened
from edgeprune.errors import DeviceError, InputError, ModelError

if TYPE_CHECKING:
    from edgeprune.tflite.tflite_file import Port

Flash = Callable[[Path], None]

_PROTOCOL = 1
_SHORTEST_LAP_US = 1000
"""A fast model is run several times between two readings of the clock, which has steps of a microsecond."""
_STABLE = 0.02
_WINDOW = 5


class BoardConversation:
    """``Conversation`` with a board.

    Args:
        link: Serial link to the board.
        machine: Description of the device, in addition to that of the board.
        flash: Function that writes a model file to the board. None: the board has a fixed model.
        timeout_s: Maximum time for the answer to one command in seconds.
    """

    def __init__(
        self, link: SerialLink, machine: dict[str, Any], *, flash: Flash | None = None, timeout_s: float = 120.0
    ) -> None:
        self._link = link
        self._flash = flash
        self._timeout_s = timeout_s
        self._machine = machine
        self._waiting = [json.dumps({"do": "begin"})]
        self._input: Port | None = None
        self._output: Port | None = None
        self._content = b""
        self._count = 1
        self._same: bool | None = None

    def send(self, line: str) -> None:
        self._waiting.append(line)

    def receive(self, *, timeout_s: float) -> str:
        """Execute the request that was sent and return the answer, waiting at most ``timeout_s`` for each command."""
        self._timeout_s = timeout_s
        command = json.loads(self._waiting.pop(0))
        try:
            answer = getattr(self, f"_{command['do']}")(command)
        except ModelError as problem:
            answer = {"event": "error", "message": str(problem)}
        return json.dumps(answer)

    def last_words(self) -> str:
        return self._link.last_words()

    def close(self) -> None:
        self._link.close()

    def _begin(self, _command: dict[str, Any]) -> dict[str, Any]:
        self._link.synchronise()
        name, profile = self._ask("name"), self._ask("profile")
        machine = {
            "machine": "microcontroller",
            "system": "firmware",
            "cpu": _first(name, "name-dut") or "",
            "cores": 1,
            "runtime": "firmware",
            "runtime_version": _first(profile, "profile") or "",
            **({"emulated": True} if _first(profile, "board") == board_protocol.EMULATED else {}),
            **self._machine,
        }
        commands = ["load", "warm_up", "measure", "memory", "layers", "outputs"]
        return {"event": "ready", "protocol": _PROTOCOL, "commands": commands, **machine}

    def _load(self, command: dict[str, Any]) -> dict[str, Any]:
        path = Path(command["model"])
        self._input, self._output = _ports(path)
        if self._flash is not None:
            self._flash(path)
            self._link.synchronise()
        model = _first(self._ask("profile"), "model") or ""
        self._same = board_protocol.is_other_model(model, hashlib.sha256(path.read_bytes()).hexdigest())
        if self._same:
            raise DeviceError(
                f"board on {self._link.port}: expected firmware with {path.name}, found the model {model}: "
                "build and flash the firmware of this bundle"
            )
        self._put(_random(self._input, command["seed"]))
        inference_us = self._infer(1, 0)
        self._count = max(1, math.ceil(_SHORTEST_LAP_US / max(1.0, inference_us)))
        return {"event": "loaded", "first_ms": inference_us / 1e3, "threads": 1}

    def _warm_up(self, command: dict[str, Any]) -> dict[str, Any]:
        end = time.monotonic() + command["at_most_s"]
        runs, stable, before = 1, False, None
        while time.monotonic() < end and not (stable and runs >= command["at_least"]):
            now = median(self._infer(self._count, 0) for _ in range(_WINDOW))
            runs += _WINDOW * self._count
            stable = before is not None and abs(now - before) <= _STABLE * before
            before = now
        return {"event": "warm", "runs": runs, "stable": stable}

    def _measure(self, command: dict[str, Any]) -> dict[str, Any]:
        end = time.monotonic() + command["at_least_s"]
        latencies_ms = [self._infer(self._count, command["warm_up"]) / 1e3]
        while len(latencies_ms) < command["runs"] or time.monotonic() < end:
            latencies_ms.append(self._infer(self._count, 0) / 1e3)
        return {"event": "block", "latency_ms": latencies_ms}

    def _memory(self, _command: dict[str, Any]) -> dict[str, Any]:
        arena = self._addition("arena")
        return {"event": "memory", **({} if arena is None else {"arena_bytes": self._number(arena, "arena")})}

    def _layers(self, _command: dict[str, Any]) -> dict[str, Any]:
        reply = self._addition("layers")
        if reply is None:
            return {"event": "layers", "layers": None}
        try:
            layers = board_protocol.layers(reply)
        except ValueError:
            raise self._nonsense("layers", reply) from None
        if not layers:  # built without TensorFlow Lite Micro's profiler
            return {"event": "layers", "layers": None}
        named = [{"name": f"{index} {kind}", "kind": kind, "ms": us / 1e3} for index, (kind, us) in enumerate(layers)]
        return {"event": "layers", "layers": named}

    def _outputs(self, command: dict[str, Any]) -> dict[str, Any]:
        """Return the outputs for samples; empty if the input format of the firmware is unknown."""
        import numpy as np

        if self._same is None:
            return {"event": "outputs", "unknown": True}
        assert self._input is not None
        assert self._output is not None
        outputs = []
        for sample in np.load(command["input"]):
            self._put(self._input.stored(sample[None].reshape(self._input.onnx_shape)).tobytes())
            self._infer(1, 0)
            reply = _first(self._ask("results"), "results")
            try:
                values = np.asarray(board_protocol.results(reply or ""), np.float32)
            except ValueError:
                raise self._nonsense("results", reply) from None
            complete = values.size == math.prod(self._output.shape)
            outputs.append(self._output.moved(values.reshape(self._output.shape)).ravel() if complete else values)
        np.savez(command["output"], results=np.asarray(outputs, np.float32))
        return {"event": "outputs"}

    def _end(self, _command: dict[str, Any]) -> dict[str, Any]:
        return {"event": "end"}

    def _put(self, content: bytes) -> None:
        """Transfer an input to the board."""
        replies = self._ask("db", "load", len(content))
        for command in board_protocol.input_commands(content):
            replies = self._link.ask(command, timeout_s=self._timeout_s)
        if board_protocol.LOAD_DONE not in replies:
            raise self._nonsense("the end of the input", replies)

    def _infer(self, count: int, warm_up: int) -> float:
        """Return the microseconds of one inference, measured over ``count`` inferences."""
        replies = self._ask("infer", count, warm_up)
        laps = [lap for reply in replies if (lap := board_protocol.lap_us(reply)) is not None]
        if len(laps) != 2:
            raise self._nonsense("infer", replies)
        inference_us = board_protocol.elapsed_us(laps[0], laps[1]) / count
        if inference_us <= 0:
            raise self._nonsense("infer", replies)
        return inference_us

    def _addition(self, command: str) -> str | None:
        """Return the answer to an optional command; None if the firmware does not have it."""
        try:
            return _first(self._ask(command), command)
        except CommandError as problem:
            if board_protocol.UNKNOWN in str(problem):
                return None
            raise

    def _ask(self, *words: str | int) -> list[str]:
        return self._link.ask(board_protocol.command(*words), timeout_s=self._timeout_s)

    def _number(self, text: str, what: str) -> int:
        if not text.isdigit():
            raise self._nonsense(what, text)
        return int(text)

    def _nonsense(self, what: str, reply: object) -> DeviceError:
        return DeviceError(f"board on {self._link.port}: unexpected answer to {what}: {reply!r:.200}")


class BoardWorkspace(LocalFiles):
    """``Workspace`` of a device that cannot run programs: the model is in its firmware, and files stay on this machine.

    Args:
        connect: Function that opens the only conversation.
        folder: Folder for files.
    """

    def __init__(self, connect: Callable[[], BoardConversation], folder: Path) -> None:
        super().__init__(folder)
        self._connect = connect

    def run(self, arguments: Sequence[str], *, timeout_s: float) -> str:
        raise DeviceError("a microcontroller cannot run programs: its firmware contains the model")

    def converse(self, arguments: Sequence[str]) -> BoardConversation:
        conversation = self._connect()
        self._conversations.append(conversation)
        return conversation


@contextmanager
def board_workspace(connect: Callable[[], BoardConversation]) -> Iterator[Workspace]:
    """Yield a workspace, and close its conversations at the end."""
    with opened(lambda folder: BoardWorkspace(connect, folder)) as workspace:
        yield workspace


def _first(replies: Sequence[str], key: str) -> str | None:
    """Return the text in the brackets of the first reply with this key."""
    return next((value for reply in replies if (value := board_protocol.bracketed(reply, key)) is not None), None)


def _ports(path: Path) -> tuple[Port, Port]:
    """Return the input and the first output of a TFLite file."""
    from edgeprune.backends import backend
    from edgeprune.tflite.tflite_file import input_ports, output_ports, read

    suffix = backend("tflm").suffix  # the firmware is that of this backend
    if path.suffix != suffix:
        raise InputError(f"model {path.name}: a microcontroller runs only {suffix} files")
    model = read(path)
    inputs = input_ports(model)
    if len(inputs) != 1:
        raise InputError(f"model {path.name} has {len(inputs)} inputs, but the serial protocol supports one")
    return inputs[0], output_ports(model)[0]


def _random(port: Port, seed: int) -> bytes:
    """Return a random input in the type of the file."""
    import numpy as np

    values = np.random.default_rng(seed).standard_normal(port.onnx_shape).astype(np.float32)
    return port.stored(values if port.scale else values.astype(port.dtype)).tobytes()
