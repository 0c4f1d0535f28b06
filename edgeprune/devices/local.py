"""This machine as a device."""

from __future__ import annotations

import contextlib
import io
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeprune import process
from edgeprune.devices.base import Capability, Kind, Workspace, transport
from edgeprune.errors import DeviceError, InputError

_LONGEST_LINE = 1 << 24  # bytes; a block of 100,000 latencies is a tenth of it
_WORDS_BYTES = 2000
_WORDS_SHOWN = 300
_END_S = 5


@dataclass(frozen=True)
class Local:
    """This machine, with the Python that runs EdgePrune."""

    uri: str = "local:"
    kind: Kind = "measured"
    capabilities: frozenset[Capability] = frozenset(
        {Capability.PUSH, Capability.RUN, Capability.STREAM, Capability.MEMORY}
    )

    @contextmanager
    def open(self) -> Iterator[Workspace]:
        """A workspace whose programs are ended, and waited for, when it is closed."""
        with local_workspace([sys.executable]) as workspace:
            yield workspace


@transport("local")
def _local(rest: str) -> Local:
    if rest:
        raise InputError(f"got the device 'local:{rest}'; this machine is 'local:', with nothing behind")
    return Local()


@contextmanager
def local_workspace(python: Sequence[str], env: Mapping[str, str] | None = None) -> Iterator[Workspace]:
    """A workspace on this machine's disk, whose programs are processes of this machine.

    Args:
        python: The arguments that start the Python that runs them.
        env: Their environment; None: that of this process.
    """
    with tempfile.TemporaryDirectory(prefix="edgeprune-") as folder:
        workspace = _LocalWorkspace(python, env, Path(folder))
        try:
            yield workspace
        finally:
            workspace.close()


class _LocalWorkspace:
    def __init__(self, python: Sequence[str], env: Mapping[str, str] | None, folder: Path) -> None:
        self._python = python
        self._env = env
        self._folder = folder
        self._conversations: list[_LocalConversation] = []

    def push(self, file: Path) -> str:
        """Nothing to bring: the file is here."""
        return str(file.resolve())

    def path(self, name: str) -> str:
        return str(self._folder / name)

    def pull(self, path: str, file: Path) -> None:
        try:
            shutil.copyfile(path, file)
        except FileNotFoundError as problem:
            raise DeviceError(f"nothing has written {path}") from problem

    def run(self, arguments: Sequence[str], *, timeout_s: float) -> str:
        script = Path(arguments[0]).name
        try:
            ended = process.run([*self._python, *arguments], timeout_s=timeout_s, env=self._env)
        except subprocess.TimeoutExpired as problem:
            raise DeviceError(f"{script} did not end in {timeout_s:g} s") from problem
        except OSError as problem:
            raise _cannot_start(self._python[0], problem) from problem
        if ended.returncode != 0:
            raise DeviceError(f"{script} {_how(ended.returncode, _words(ended.stderr))}")
        return ended.stdout

    def converse(self, arguments: Sequence[str]) -> _LocalConversation:
        conversation = _LocalConversation([*self._python, *arguments], self._env)
        self._conversations.append(conversation)
        return conversation

    def close(self) -> None:
        for conversation in self._conversations:
            conversation.close()


class _LocalConversation:
    """A child process. A thread reads its lines, so that waiting for one can end; its stderr goes to a file."""

    def __init__(self, argv: list[str], env: Mapping[str, str] | None) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the conversation
        try:
            self._process = process.start(argv, env=env, stderr=self._stderr)
        except OSError as problem:
            self._stderr.close()
            raise _cannot_start(argv[0], problem) from problem
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
        return _words(self._stderr.read().decode(errors="replace"))

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
        return f"the runner {_how(self._process.wait(), self.last_words())}"


def _cannot_start(program: str, problem: OSError) -> DeviceError:
    return DeviceError(f"cannot start {program} on this machine: {problem.strerror}")


def _words(text: str) -> str:
    return " ".join(text.split())[-_WORDS_SHOWN:]


def _how(code: int, words: str) -> str:
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return how + (f"; its last words: {words}" if words else "")
