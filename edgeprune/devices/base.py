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
    MEMORY = "memory"  # peak memory of a program
    PER_LAYER = "per-layer"  # time of each layer
    STATE = "state"  # temperature, clock and throttling


class Conversation(Protocol):
    """A program running on the device that reads and writes lines."""

    def send(self, line: str) -> None:
        """Send one line, without its line ending.

        Raises:
            DeviceError: The program has ended; the message has the end of its stderr.
        """
        ...

    def receive(self, *, timeout_s: float) -> str:
        """Return the next line, without its line ending.

        Raises:
            DeviceError: No line arrived in time, or the program has ended; the message has the end of its stderr.
        """
        ...

    def last_words(self) -> str:
        """Return the end of the program's stderr on one line; empty if it wrote nothing."""
        ...


class Workspace(Protocol):
    """Private folder on a device. Closing it removes the folder and ends every program that was started from it."""

    def push(self, file: Path, *companions: Path) -> str:
        """Copy a file and its companion files to the device, and return the path of the file there.

        Raises:
            DeviceError: A file was not copied completely.
        """
        ...

    def path(self, name: str) -> str:
        """Return the path on the device where a program may write a file called ``name``."""
        ...

    def pull(self, path: str, file: Path) -> None:
        """Copy a file from the device to ``file``.

        Raises:
            DeviceError: The file does not exist on the device.
        """
        ...

    def run(self, arguments: Sequence[str], *, timeout_s: float) -> str:
        """Run the device's Python with ``arguments``, wait until it ends, and return its stdout.

        Raises:
            DeviceError: Python cannot be started, fails, or does not end in time. The message ends with its stderr.
        """
        ...

    def converse(self, arguments: Sequence[str]) -> Conversation:
        """Start the device's Python with ``arguments``; the first one is a script that was pushed.

        Raises:
            DeviceError: Python cannot be started.
        """
        ...


class Device(Protocol):
    """Device that can run models.

    Attributes:
        uri: URI of the device, such as ``local:``.
        kind: Provenance of figures from the device.
        capabilities: Capabilities of the device.
    """

    @property
    def uri(self) -> str: ...

    @property
    def kind(self) -> Kind: ...

    @property
    def capabilities(self) -> frozenset[Capability]: ...

    def open(self) -> AbstractContextManager[Workspace]:
        """Connect to the device.

        Raises:
            DeviceError: The device cannot be reached.
        """
        ...


class ConnectionLostError(DeviceError):
    """Lost connection to a device. Nothing is left on the device, and another attempt may succeed."""


_transports: dict[str, Callable[[str], Device]] = {}
_Make = TypeVar("_Make", bound=Callable[[str], Device])


def transport(scheme: str) -> Callable[[_Make], _Make]:
    """Register a function that creates a device from the part of a URI after ``scheme:``."""

    def register(make: _Make) -> _Make:
        assert scheme not in _transports, f"two transports are for {scheme}:"
        _transports[scheme] = make
        return make

    return register


def device(uri: str) -> Device:
    """Return the device with a URI such as ``local:`` or ``emulator:raspberry-pi-4``, without connecting to it.

    Args:
        uri: ``scheme:...``, optionally followed by ``?option=value&...``, or a name from ``devices.toml``.

    Raises:
        InputError: The URI or the name is unknown, or the part after the colon is not valid.
        DeviceError: The device is known to be absent.
    """
    schemes = ", ".join(f"{name}:" for name in sorted(_transports))
    scheme, colon, location = (uri if ":" in uri else device_config.uri_of(uri, schemes=schemes)).partition(":")
    if not colon or scheme not in _transports:
        raise InputError(f"device: got {uri!r}, must start with one of {schemes}")
    return _transports[scheme](location)


EMULATED = "emulated"
"""Option of the URI of a device that may be an emulator."""


def kind_option(query_options: Mapping[str, str], *, uri: str) -> Kind:
    """Return the provenance of a device's figures: ``emulated`` with the option ``emulated=1``, otherwise ``measured``.

    Raises:
        InputError: The option is neither 0 nor 1.
    """
    kinds: Mapping[str, Kind] = {"0": "measured", "1": "emulated"}
    value = query_options.get(EMULATED, "0")
    if value not in kinds:
        raise InputError(f"device {uri}: option {EMULATED}: got '{value}', must be 0 or 1")
    return kinds[value]


def options(location: str, allowed: Collection[str], *, uri: str) -> tuple[str, dict[str, str]]:
    """Split the part of a URI after the colon into the part before ``?`` and the options after it.

    Raises:
        InputError: An option is not in ``allowed``, or has no value.
    """
    before, _, query = location.partition("?")
    try:
        query_options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    except ValueError:
        raise InputError(f"device {uri}: got the options '?{query}', expected ?name=value&name=value") from None
    for name, value in query_options.items():
        if name not in allowed or not value:
            raise InputError(
                f"device {uri}: got the option '{name}={value}', expected a value for one of {', '.join(allowed)}"
            )
    return before, query_options
