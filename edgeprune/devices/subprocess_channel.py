"""Conversation with a child process."""

from __future__ import annotations

import contextlib
import io
import queue
import subprocess
import tempfile
import threading
from collections.abc import Mapping

from edgeprune import subprocesses
from edgeprune.errors import DeviceError

_LONGEST_LINE = 1 << 24  # bytes; a block of 100,000 latencies is a tenth of it
_WORDS_BYTES = 2000
_WORDS_SHOWN = 300
_END_S = 5


class ProgramEndedError(DeviceError):
    """Unexpected end of a program.

    Attributes:
        name: Name of the program, for messages.
        code: Exit code; negative for the signal that killed it.
        words: End of its stderr on one line.
    """

    def __init__(self, name: str, code: int, words: str) -> None:
        super().__init__(f"{name} {how_it_ended(code, words)}")
        self.name = name
        self.code = code
        self.words = words


class ChildProcess:
    """Child process. A thread reads its lines, so that waiting can time out; its stderr is written to a file.

    Args:
        argv: Program and arguments.
        env: Environment. None: that of this process.
        name: Name of the program, for messages.
        new_session: Whether to start a new session, so that Ctrl-C in the terminal does not reach the process.

    Raises:
        DeviceError: The program cannot be started.
    """

    def __init__(
        self,
        argv: list[str],
        env: Mapping[str, str] | None = None,
        *,
        name: str = "the runner",
        new_session: bool = False,
    ) -> None:
        self._name = name
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the conversation
        try:
            self._process = subprocesses.start(argv, env=env, stderr=self._stderr, new_session=new_session)
        except OSError as problem:
            self._stderr.close()
            raise cannot_start(argv[0], problem) from problem
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._closing = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def send(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError) as problem:
            raise self._ended() from problem

    def receive(self, *, timeout_s: float) -> str:
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            words = self.last_words()
            raise DeviceError(
                f"{self._name} did not answer within {timeout_s:g} s" + (f"; last output: {words}" if words else "")
            ) from None
        if line is None:
            self._lines.put(None)
            raise self._ended()
        return line

    def last_words(self) -> str:
        if self._stderr.closed:
            return ""
        size = self._stderr.seek(0, 2)
        self._stderr.seek(max(0, size - _WORDS_BYTES))
        return last_words(self._stderr.read().decode(errors="replace"))

    def close(self) -> None:
        """Close stdin so that the process ends, and kill it if it does not."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._closing = True
        with contextlib.suppress(BrokenPipeError):  # it is gone already
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._process.stdout.close()
        self._stderr.close()

    def _read(self) -> None:
        assert isinstance(self._process.stdout, io.TextIOWrapper)
        while line := self._process.stdout.buffer.readline(_LONGEST_LINE):
            # A line without its end was cut, because the program or the connection ended, so it is not an answer.
            cut = not line.endswith(b"\n") and len(line) < _LONGEST_LINE
            if not self._closing and not cut:
                self._lines.put(line.decode(errors="replace").rstrip("\r\n"))
        self._lines.put(None)

    def _ended(self) -> ProgramEndedError:
        return ProgramEndedError(self._name, self._process.wait(), self.last_words())


def cannot_start(program: str, problem: OSError) -> DeviceError:
    """Return the error for a program of this machine that does not start."""
    return DeviceError(f"cannot start {program} on this machine: {problem.strerror}")


def last_words(text: str) -> str:
    """Return the end of ``text`` on one line."""
    return " ".join(text.split())[-_WORDS_SHOWN:]


def how_it_ended(code: int, words: str) -> str:
    """Describe how a program ended."""
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return how + (f"; last output: {words}" if words else "")
