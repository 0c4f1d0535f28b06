"""Serial link to a board: sends a command, and reads replies until the board is ready."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgeprune import extras
from edgeprune.devices.base import ConnectionLostError
from edgeprune.devices.board import board_protocol
from edgeprune.devices.subprocess_channel import last_words
from edgeprune.errors import DeviceError

if TYPE_CHECKING:
    from serial import Serial

logger = logging.getLogger(__name__)

_READ_S = 0.05
_QUIET_S = 0.2
_ANSWER_S = 2.0
_SYNC_S = 15.0
_WRITE_S = 5.0
_ADVICE = {
    errno.ENOENT: "check that the board is connected, and that this is its port",
    errno.EACCES: "give this user access: on most systems, add the user to the group dialout",
    errno.EAGAIN: "another program is using it: close it",
    errno.EBUSY: "another program is using it: close it",
}


class CommandError(DeviceError):
    """Error reply ``e-[...]`` of a board."""


class SerialLink:
    """Open serial port.

    Args:
        port: Path such as ``/dev/ttyACM0``.
        baud: Bits per second.

    Raises:
        DeviceError: The port cannot be opened, or is in use.
    """

    def __init__(self, port: str, baud: int = board_protocol.BAUD) -> None:
        with extras.required("serial"):
            import serial

        self.port = port
        self._lines = board_protocol.LineBuffer()
        self._waiting: list[str] = []
        self._heard = ""
        try:
            self._serial: Serial = serial.Serial(port, baud, timeout=_READ_S, write_timeout=_WRITE_S, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as problem:
            raise DeviceError(f"cannot open {port}: {_why(problem)}") from problem

    def close(self) -> None:
        """Close the port."""
        self._serial.close()

    def last_words(self) -> str:
        """Return the end of the board's output."""
        return last_words(self._heard)

    def synchronise(self, *, timeout_s: float = _SYNC_S) -> None:
        """Wait until the board answers a command correctly, whatever its state and whatever is on the line.

        Opening a port resets many boards. Others may be executing a command, or have received half of one.

        Raises:
            DeviceError: The board does not answer in time.
        """
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            self._drain(end)
            self._write(board_protocol.command("name"))
            replies = list(self._until_ready(min(_ANSWER_S, max(0.0, end - time.monotonic()))))
            # The first may end what was left of an earlier command, which is then an error.
            if any(reply.startswith("m-name-") for reply in replies) and replies[-1] == board_protocol.READY:
                self._drain(end)
                return
        last_words = self.last_words()
        raise DeviceError(
            f"board on {self.port}: no answer within {timeout_s:g} s"
            + (
                f"; last output: {last_words}"
                if last_words
                else " and no output: check its power supply and the baud rate"
            )
        )

    def ask(self, command: bytes, *, timeout_s: float) -> list[str]:
        """Send one command and return the replies before ``m-ready``. Other lines are skipped.

        Raises:
            CommandError: The board answers with an error.
            ConnectionLostError: The board was reset meanwhile, or the port disappeared.
            DeviceError: The board does not answer in time.
        """
        self._write(command)
        replies: list[str] = []
        for reply in self._until_ready(timeout_s):
            if reply == board_protocol.INIT_DONE:
                raise ConnectionLostError(
                    f"board on {self.port}: it was reset during the command {_command_text(command)}"
                )
            if (error := board_protocol.error(reply)) is not None:
                for _ in self._until_ready(timeout_s):  # what else it says of this command
                    pass
                raise CommandError(f"board on {self.port}: error '{error}' for the command {_command_text(command)}")
            if reply == board_protocol.READY:
                return replies
            replies.append(reply)
        last_words = self.last_words()
        raise DeviceError(
            f"board on {self.port}: the answer to {_command_text(command)} did not end within {timeout_s:g} s"
            + (f"; last output: {last_words}" if last_words else "")
        )

    def _until_ready(self, timeout_s: float) -> Iterator[str]:
        """Return the replies up to ``m-ready``, or until the time is over."""
        end = time.monotonic() + timeout_s
        while True:
            while self._waiting:
                reply = self._waiting.pop(0)
                yield reply
                if reply == board_protocol.READY:
                    return
            if time.monotonic() >= end:
                return
            self._read()

    def _drain(self, end: float) -> None:
        """Discard input until the line is quiet for a moment."""
        quiet = time.monotonic() + _QUIET_S
        while time.monotonic() < min(quiet, end):
            if self._read():
                quiet = time.monotonic() + _QUIET_S
        self._lines = board_protocol.LineBuffer()
        self._waiting.clear()

    def _read(self) -> bool:
        with self._translate_errors():
            received = self._serial.read(max(1, self._serial.in_waiting))
        if received:
            for line in self._lines.feed(received):
                logger.debug("%s -> %s", self.port, line)
                self._heard = f"{self._heard} {line}"[-1000:]
                reply = board_protocol.reply(line)
                if reply is not None:
                    self._waiting.append(reply)
        return bool(received)

    def _write(self, command: bytes) -> None:
        logger.debug("%s <- %s", self.port, command)
        with self._translate_errors():
            self._serial.write(command)
            self._serial.flush()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        import serial

        try:
            yield
        except serial.SerialTimeoutException as problem:
            raise DeviceError(f"board on {self.port}: it accepted no data for {_WRITE_S:g} s") from problem
        except (serial.SerialException, OSError, TypeError) as problem:  # TypeError: pyserial, once it is closed
            raise ConnectionLostError(f"board on {self.port}: the connection was lost: {problem}") from problem


def _why(problem: Exception) -> str:
    number = getattr(problem, "errno", None)
    if "exclusively lock" in str(problem):
        number = errno.EAGAIN
    message = os.strerror(number) if number else str(problem)
    return message + (f"; {_ADVICE[number]}" if number in _ADVICE else "")


def _command_text(command: bytes) -> str:
    text = command.decode("ascii")
    return f"'{text if len(text) <= 24 else f'{text[:20]}...%'}'"
