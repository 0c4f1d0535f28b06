"""What a device is to those who measure on it. A transport is one file that implements ``Device``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path
from typing import Protocol


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
        capabilities: What it can do.
    """

    @property
    def uri(self) -> str: ...

    @property
    def capabilities(self) -> frozenset[Capability]: ...

    def open(self) -> AbstractContextManager[Workspace]:
        """Connect.

        Raises:
            DeviceError: It cannot be reached.
        """
        ...
