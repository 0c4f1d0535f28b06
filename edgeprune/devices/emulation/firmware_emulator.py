"""Emulated microcontroller: the interpreter of TFLite Micro behind a pseudo-terminal.

Run as ``python -m edgeprune.devices.emulation.firmware_emulator``. The program prints the name of the terminal to
stdout. Each line on stdin is the path of a ``.tflite`` file to load, which corresponds to flashing. The program answers
on the terminal as a board does, and ends when stdin is closed. Latency is that of this machine. Unlike in a real
firmware image, the model is a file and not compiled in.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.backends.tflm.operator_times import layer_times_us
from edgeprune.devices.board import board_protocol
from edgeprune.errors import ModelError

_FIRMWARE = "EdgePrune TFLite Micro, emulated"
_MOST_COMMAND = 79


class Board:
    """Emulated firmware that executes commands; ``microseconds`` is its clock."""

    def __init__(self, microseconds: Callable[[], int]) -> None:
        self._microseconds = microseconds
        self._path: Path | None = None
        self._interpreter: Interpreter | None = None
        self._loaded = bytearray()
        self._expected = 0
        self._results: list[float] = []

    def flash(self, path: Path) -> None:
        """Load another model.

        Raises:
            ModelError: TFLite Micro cannot run the model.
        """
        self._interpreter, self._path = Interpreter(path), path
        self._loaded, self._expected, self._results = bytearray(), 0, []

    def boot(self) -> Iterator[str]:
        """Yield the lines that the firmware prints at its start."""
        yield board_protocol.INIT_DONE
        yield board_protocol.READY

    def answer(self, command: str) -> Iterator[str]:
        """Yield the lines of the answer to a command."""
        words = command.strip("\r\n").split(" ")
        commands = {
            "name": self._name,
            "profile": self._profile,
            "timestamp": self._timestamp,
            "db": self._db,
            "infer": self._infer,
            "results": self._results_reply,
            "arena": self._arena,
            "layers": self._layers,
        }
        try:
            if words[0] in commands:
                yield from commands[words[0]](words[1:])
            else:
                yield f"e-[{board_protocol.UNKNOWN}: {words[0]}]"
        except (ModelError, ValueError) as problem:
            yield f"e-[{problem}]".replace("\n", " ")
        yield board_protocol.READY

    def _name(self, _words: list[str]) -> Iterator[str]:
        yield "m-name-dut-[EdgePrune]"

    def _profile(self, _words: list[str]) -> Iterator[str]:
        yield f"m-profile-[{_FIRMWARE}]"
        model = "none"
        if self._path is not None:
            model = board_protocol.model_id(self._path.stem, hashlib.sha256(self._path.read_bytes()).hexdigest())
        yield f"m-model-[{model}]"

    def _timestamp(self, _words: list[str]) -> Iterator[str]:
        yield f"m-lap-us-{self._microseconds() % board_protocol.CLOCK_WRAPS_US}"

    def _db(self, words: list[str]) -> Iterator[str]:
        if len(words) == 2 and words[0] == "load":
            size = _count(words[1], "db load takes the number of bytes")
            expected = self._input_bytes()
            if size != expected:
                raise ValueError(f"the input has {expected} bytes")
            self._loaded, self._expected = bytearray(), size
            yield f"m-[Expecting {size} bytes]"
            return
        if not self._expected:
            raise ValueError("db load comes first")
        self._loaded += bytes.fromhex(words[0] if words else "")
        if len(self._loaded) >= self._expected:
            del self._loaded[self._expected :]
            self._expected = 0
            yield board_protocol.LOAD_DONE

    def _infer(self, words: list[str]) -> Iterator[str]:
        count = _count(words[0] if words else "1", "Inference iterations must be >0")
        warm_up = int(words[1]) if len(words) > 1 else 10
        inputs = self._inputs()
        yield f"m-warmup-start-{warm_up}"
        for _ in range(warm_up):
            self._run(inputs)
        yield "m-warmup-done"
        yield f"m-infer-start-{count}"
        start = self._microseconds()
        for _ in range(count):
            self._run(inputs)
        end = self._microseconds()
        yield f"m-lap-us-{start % board_protocol.CLOCK_WRAPS_US}"
        yield f"m-lap-us-{end % board_protocol.CLOCK_WRAPS_US}"
        yield "m-infer-done"
        yield from self._results_reply([])

    def _results_reply(self, _words: list[str]) -> Iterator[str]:
        yield f"m-results-[{','.join(f'{value:.3f}' for value in self._results)}]"

    def _arena(self, _words: list[str]) -> Iterator[str]:
        yield f"m-arena-[{self._model().arena().restated_for_32_bit}]"

    def _layers(self, _words: list[str]) -> Iterator[str]:
        self._model()
        assert self._path is not None
        layer_times = layer_times_us(self._path)
        yield f"m-layers-[{','.join(f'{kind}:{round(us)}' for kind, us in layer_times)}]"

    def _run(self, inputs: list[np.ndarray[Any, Any]]) -> None:
        model = self._model()
        outputs = model.run_stored(inputs)
        self._results = model.outputs[0].restored(outputs[0]).reshape(-1).astype(float).tolist()

    def _inputs(self) -> list[np.ndarray[Any, Any]]:
        port, *others = self._model().inputs
        content = bytes(self._loaded).ljust(self._input_bytes(), b"\0")
        first = np.frombuffer(content, port.dtype).reshape(port.shape)
        return [first, *(np.zeros(other.shape, other.dtype) for other in others)]

    def _input_bytes(self) -> int:
        port = self._model().inputs[0]
        return int(np.prod(port.shape)) * np.dtype(port.dtype).itemsize

    def _model(self) -> Interpreter:
        if self._interpreter is None:
            raise ModelError("there is no model")
        return self._interpreter


def _count(text: str, wrong: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise ValueError(wrong)
    return int(text)


def _microseconds() -> int:
    return time.perf_counter_ns() // 1000


def serve(board: Board) -> None:
    """Serve a new pseudo-terminal until stdin is closed."""
    terminal, other = os.openpty()
    tty.setraw(other, termios.TCSANOW)

    def say(lines: Iterator[str]) -> None:
        for line in lines:
            _write(terminal, (line + "\r\n").encode("ascii", errors="replace"))

    def write_json(**value: Any) -> None:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()

    write_json(port=os.ttyname(other))
    say(board.boot())
    command = ""
    while True:
        ready, _, _ = select.select([terminal, sys.stdin], [], [])
        if sys.stdin in ready:
            line = os.read(sys.stdin.fileno(), 1 << 16).decode()
            if not line:
                return
            try:
                board.flash(Path(json.loads(line)["flash"]))
                write_json(flashed=True)
            except ModelError as problem:
                write_json(error=str(problem))
            command = ""
            say(board.boot())
        if terminal in ready:
            for byte in os.read(terminal, 1 << 12):
                if byte == ord(board_protocol.END):
                    say(board.answer(command))
                    command = ""
                elif len(command) < _MOST_COMMAND and (command or byte not in b"\r\n"):
                    command += chr(byte)


def _write(terminal: int, content: bytes) -> None:
    while content:
        content = content[os.write(terminal, content) :]


if __name__ == "__main__":
    serve(Board(_microseconds))
