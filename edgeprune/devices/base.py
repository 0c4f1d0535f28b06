"""Interface of devices. A transport is one file that implements ``Device``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import parse_qsl

from edgeprune.devices import device_config
from edgeprune.errors import DeviceError, InputError
from edgeprune.evidence import Kind as Kind  # noqa: PLC0414 - transports take it from here


class Capability(str, Enum):
    """Capability of a device. Values that a device cannot report are omitted from results, not set to zero."""

    PUSH = "push"  # take files
    RUN = "run"  # run a program on them
    MEMORY = "memory"  # tell a program's peak memory
    PER_LAYER = "per-layer"  # tell the time of each layer
    STATE = "state"  # tell temperature, clock and throttling


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

    def push(self, file: Path, *beside: Path) -> str:
        """Bring a file there, and others beside it, all under their own names; returns its path as the device knows it.

        Raises:
            DeviceError: It does not arrive whole.
        """
        ...

    def path(self, name: str) -> str:
        """Path on the device where a program may write a file called ``name``."""
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


class LineLostError(DeviceError):
    """The connection to a device ended by itself; nothing is left there, and another try may succeed."""


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

    Args:
        uri: ``scheme:...``, where ``?option=value&...`` may follow; or a name from ``devices.toml``.

    Raises:
        InputError: No transport is for such a URI, it does not take what follows the colon, or no device has the name.
        DeviceError: The device is known not to be there.
    """
    known = ", ".join(f"{name}:" for name in sorted(_transports))
    scheme, colon, rest = (uri if ":" in uri else device_config.uri_of(uri, schemes=known)).partition(":")
    if not colon or scheme not in _transports:
        raise InputError(f"got the device {uri!r}; a device begins with one of {known}")
    return _transports[scheme](rest)


EMULATED = "emulated"
"""Option of the URI of a device that may be an emulator."""


def kind_option(given: Mapping[str, str], *, uri: str) -> Kind:
    """Kind of the figures of a device: ``emulated`` with the option ``emulated=1``, else ``measured``.

    Raises:
        InputError: The option is neither 0 nor 1.
    """
    kinds: Mapping[str, Kind] = {"0": "measured", "1": "emulated"}
    value = given.get(EMULATED, "0")
    if value not in kinds:
        raise InputError(f"the device {uri}: got the option '{EMULATED}={value}'; it must be 0 or 1")
    return kinds[value]


def options(rest: str, allowed: Collection[str], *, uri: str) -> tuple[str, dict[str, str]]:
    """Part what follows the colon of a URI into what is before the ``?``, and the options behind it.

    Raises:
        InputError: An option that is not ``allowed``, or one without a value.
    """
    before, _, query = rest.partition("?")
    try:
        found = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        raise InputError(f"the device {uri}: got '?{query}', options are written ?name=value&name=value") from None
    for name, value in found.items():
        if name not in allowed or not value:
            raise InputError(f"the device {uri}: got the option '{name}={value}'; it takes {', '.join(allowed)}")
    return before, found
