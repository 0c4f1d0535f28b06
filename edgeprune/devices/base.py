"""What a device is to those who measure on it. A transport is one file that implements ``Device``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path
from typing import Protocol, TypeVar

from edgeprune.errors import InputError
from edgeprune.evidence import Kind as Kind  # noqa: PLC0414 - transports take it from here


class Capability(str, Enum):
    """What a device can do. What it cannot do is absent from a result, never zero."""

    PUSH = "push"  # take files
    RUN = "run"  # run a program on them
    STREAM = "stream"  # talk with the program line by line while it runs
    MEMORY = "memory"  # tell a program's peak memory
    PER_LAYER = "per-layer"  # tell the time of each layer
    POWER = "power"  # tell the power drawn


class Conversation(Protocol):
    """A program running on the device that reads and writes lines."""

    def send(self, line: str) -> None:
        """Send one line, given without its end.

        Raises:
            DeviceError: The program has ended; with its last words.
        """
        ...

    def receive(self, *, timeout_s: float) -> str:
        """The next line, without its end.

        Raises:
            DeviceError: No line in time, or the program has ended; with its last words.
        """
        ...

    def last_words(self) -> str:
        """The end of what it wrote to stderr, on one line; empty if nothing."""
        ...


class Workspace(Protocol):
    """A private place on the device; it and every program started from it are gone when it is closed."""

    def push(self, file: Path) -> str:
        """Bring a file there; returns its path as the device knows it."""
        ...

    def path(self, name: str) -> str:
        """Where a program may write a file called ``name``, as the device knows it."""
        ...

    def pull(self, path: str, file: Path) -> None:
        """Bring a file from there to ``file``.

        Raises:
            DeviceError: There is none.
        """
        ...

    def run(self, arguments: Sequence[str], *, timeout_s: float) -> str:
        """Run the device's Python with ``arguments`` to its end; returns what it printed.

        Raises:
            DeviceError: It cannot be started, fails, or does not end in time; with its last words.
        """
        ...

    def converse(self, arguments: Sequence[str]) -> Conversation:
        """Start the device's Python with ``arguments``, the first of which is a pushed script.

        Raises:
            DeviceError: It cannot be started.
        """
        ...


class Device(Protocol):
    """A thing that can run models.

    Attributes:
        uri: Such as ``local:``.
        kind: What the numbers are that are taken there.
        capabilities: What it can do.
    """

    @property
    def uri(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    @property
    def capabilities(self) -> frozenset[Capability]: ...

    def open(self) -> AbstractContextManager[Workspace]:
        """Connect.

        Raises:
            DeviceError: It cannot be reached.
        """
        ...


_transports: dict[str, Callable[[str], Device]] = {}
_Make = TypeVar("_Make", bound=Callable[[str], Device])


def transport(scheme: str) -> Callable[[_Make], _Make]:
    """Decorator: make a device of a URI that begins with ``scheme`` and a colon from what follows it."""

    def register(make: _Make) -> _Make:
        assert scheme not in _transports, f"two transports are for {scheme}:"
        _transports[scheme] = make
        return make

    return register


def device(uri: str) -> Device:
    """The device that ``uri`` names, such as ``local:`` or ``emulator:raspberry-pi-4``; nothing is connected yet.

    Raises:
        InputError: No transport is for such a URI, or it does not take what follows the colon.
        DeviceError: The device is known not to be there.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon or scheme not in _transports:
        known = ", ".join(f"{name}:" for name in sorted(_transports))
        raise InputError(f"got the device {uri!r}; a device begins with one of {known}")
    return _transports[scheme](rest)
