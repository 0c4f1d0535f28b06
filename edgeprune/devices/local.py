"""This machine as a device."""

from __future__ import annotations

import contextlib
import io
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeprune import process
from edgeprune.devices.base import Capability, Workspace
from edgeprune.errors import DeviceError

_LONGEST_LINE = 1 << 24  # bytes; a block of 100,000 latencies is a tenth of it
_WORDS_BYTES = 2000
_WORDS_SHOWN = 300
_END_S = 5


@dataclass(frozen=True)
class Local:
    """This machine, with the Python that runs EdgePrune."""

    uri: str = "local:"
    capabilities: frozenset[Capability] = frozenset(
        {Capability.PUSH, Capability.RUN, Capability.STREAM, Capability.MEMORY}
    )

    @contextmanager
    def open(self) -> Iterator[Workspace]:
        """A workspace whose programs are ended, and waited for, when it is closed."""
        workspace = _LocalWorkspace()
        try:
            yield workspace
        finally:
            workspace.close()


class _LocalWorkspace:
    def __init__(self) -> None:
        self._conversations: list[_LocalConversation] = []

    def push(self, file: Path) -> str:
        """Nothing to bring: the file is here."""
        return str(file.resolve())

    def converse(self, arguments: Sequence[str]) -> _LocalConversation:
        conversation = _LocalConversation([sys.executable, *arguments])
        self._conversations.append(conversation)
        return conversation

    def close(self) -> None:
        for conversation in self._conversations:
            conversation.close()


class _LocalConversation:
    """A child process. A thread reads its lines, so that waiting for one can end; its stderr goes to a file."""

    def __init__(self, argv: list[str]) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the conversation
        try:
            self._process = process.start(argv, stderr=self._stderr)
        except OSError as problem:
            self._stderr.close()
            raise DeviceError(f"cannot start {argv[0]} on this machine: {problem.strerror}") from problem
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
            raise DeviceError(self._ended()) from problem

    def receive(self, *, timeout_s: float) -> str:
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            words = self.last_words()
            raise DeviceError(
                f"the runner gave no answer in {timeout_s:g} s" + (f"; its last words: {words}" if words else "")
            ) from None
        if line is None:
            self._lines.put(None)
            raise DeviceError(self._ended())
        return line

    def last_words(self) -> str:
        size = self._stderr.seek(0, 2)
        self._stderr.seek(max(0, size - _WORDS_BYTES))
        return " ".join(self._stderr.read().decode(errors="replace").split())[-_WORDS_SHOWN:]

    def close(self) -> None:
        """Ask it to end by closing its stdin; kill it if it does not."""
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
            if not self._closing:
                self._lines.put(line.decode(errors="replace").rstrip("\r\n"))
        self._lines.put(None)

    def _ended(self) -> str:
        code = self._process.wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        words = self.last_words()
        return f"the runner {how}" + (f"; its last words: {words}" if words else "")
