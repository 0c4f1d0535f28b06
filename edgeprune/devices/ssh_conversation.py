"""Conversation with a program on a device over SSH."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgeprune.devices.base import ConnectionLostError
from edgeprune.devices.subprocess_channel import ChildProcess, ProgramEndedError

LOST, NOT_FOUND = 255, 127
"""Exit codes of an ssh client that lost its connection, and of a shell that does not find a program."""


class SshConversation:
    """Conversation with a program on the device.

    Args:
        child: Process of the ssh client.
        uri: URI of the device, for messages.
        after: Line after which the program's output begins. None: it begins with the first line.
    """

    def __init__(self, child: ChildProcess, uri: str, *, after: str | None = None) -> None:
        self._child = child
        self._uri = uri
        self._after = after

    def send(self, line: str) -> None:
        with self._translate_errors():
            self._child.send(line)

    def receive(self, *, timeout_s: float) -> str:
        with self._translate_errors():
            while self._after is not None:
                if self._child.receive(timeout_s=timeout_s) == self._after:
                    self._after = None
            return self._child.receive(timeout_s=timeout_s)

    def last_words(self) -> str:
        return self._child.last_words()

    def close(self) -> None:
        self._child.close()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Distinguish a lost connection from a program that ended."""
        try:
            yield
        except ProgramEndedError as problem:
            if problem.code == LOST:
                raise connection_lost(self._uri, problem.words) from problem
            raise ProgramEndedError(problem.name, exit_code(problem.code), problem.words) from problem


def connection_lost(uri: str, words: str) -> ConnectionLostError:
    """Return the error for a lost connection; ``words`` is the output of the ssh client."""
    return ConnectionLostError(f"the connection to {uri} was lost" + (f": {words}" if words else ""))


def exit_code(code: int) -> int:
    """Convert the exit code of a shell to that of a child process: negative if a signal ended it."""
    return 128 - code if code > 128 else code
