"""Grammar of the serial protocol of a microcontroller: MLPerf Tiny's protocol, and five additions.

Source: EEMBC's firmware in github.com/mlcommons/tiny, ``benchmark/api/internally_implemented.cpp``. 115200 baud, 8 data
bits, no parity, 1 stop bit, no flow control.

**Commands** end in ``%``; words are separated by one space; at most 79 characters come before the ``%``. CR and LF in
front of a command mean nothing. The board answers with lines that end in CR LF; the last is always ``m-ready``.

=================  =========================================================================================
command            lines before ``m-ready``
=================  =========================================================================================
``name%``          ``m-name-dut-[VENDOR]``
``profile%``       ``m-profile-[FIRMWARE]``, ``m-model-[MODEL]``, and (*) ``m-board-[emulated]`` of firmware that was
                   built for an emulator
``timestamp%``     ``m-lap-us-MICROSECONDS``
``db load N%``     ``m-[Expecting N bytes]``: input of N bytes is to come
``db HEX%``        the next bytes of it, at most 31, two digits each; nothing, or ``m-load-done`` after the last
``infer N W%``     ``m-warmup-start-W``, ``m-warmup-done``, ``m-infer-start-N``, ``m-lap-us-T``, ``m-lap-us-T``,
                   ``m-infer-done``, ``m-results-[...]``. The clock is read right before and right after N inferences
``results%``       ``m-results-[0.000,0.996,...]``: the first output, as real numbers with three decimals
``arena%`` (*)     ``m-arena-[BYTES]``: bytes of the tensor arena that are in use
``layers%`` (*)    ``m-layers-[CONV_2D:1234,ADD:56,...]``: microseconds of every operator, in the order they run, of one
                   inference on the input that is loaded; nothing between the brackets where the firmware was built
                   without TensorFlow Lite Micro's profiler (``TF_LITE_STRIP_ERROR_STRINGS``)
anything else      ``e-[Unknown command: WORD]``
=================  =========================================================================================

What cannot be done is answered by one ``e-[TEXT]``, and ``m-ready``. After a start or reset the board says
``m-init-done`` and ``m-ready`` without being asked. The clock is a 32-bit count of microseconds that wraps around.

Additions:

- (*) ``arena%`` and ``layers%``. A firmware without them answers ``e-[Unknown command: arena]``: then the figure is
  absent.
- (*) ``m-board-[emulated]``. Figures of such a board are emulated, not measured.
- MODEL of firmware that EdgePrune writes is ``NAME-HASH``, where HASH is the first twelve hexadecimal digits of the
  SHA-256 of the ``.tflite`` file that it was made from. So a board with another model is found out before anything is
  measured.
- Input bytes of such firmware are those of the first input tensor as the file stores them (int8: two's complement;
  float32: little-endian). MLPerf Tiny's own firmwares differ from each other in what they take.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

BAUD = 115200
END = "%"
READY = "m-ready"
INIT_DONE = "m-init-done"
LOAD_DONE = "m-load-done"
MOST_INPUT_BYTES = 31
"""In one command."""
CLOCK_WRAPS_US = 1 << 32
UNKNOWN = "Unknown command"
EMULATED = "emulated"

_HASH_DIGITS = 12
_OWN_MODEL = re.compile(rf"(?P<name>.+)-(?P<hash>[0-9a-f]{{{_HASH_DIGITS}}})")
# Up to the end of the line: what stands before was garbage, or a reply that a reset cut off.
_REPLY = re.compile(
    r"(?:m-(?:name-.*|profile-|model-|board-|results-|arena-|layers-|)\[.*\]|m-lap-us-\d+|m-(?:warmup|infer)-start-\d+"
    r"|m-(?:init|load|warmup|infer)-done|m-ready|e-\[.*\])$",
    re.ASCII,
)


def command(*words: str | int) -> bytes:
    """Return a command with its terminator, as it is sent."""
    return (" ".join(map(str, words)) + END).encode("ascii")


def input_commands(content: bytes) -> Iterator[bytes]:
    """Return the commands that transfer ``content``, after ``db load``."""
    for start in range(0, len(content), MOST_INPUT_BYTES):
        yield command("db", content[start : start + MOST_INPUT_BYTES].hex())


def reply(line: str) -> str | None:
    """Return the reply at the end of a line; None if there is none, or only a part of one."""
    match = _REPLY.search(line)
    return match[0] if match else None


def error(reply_text: str) -> str | None:
    """Return the text of ``e-[...]``; None if the reply is not an error."""
    return reply_text[3:-1] if reply_text.startswith("e-[") else None


def bracketed(reply_text: str, key: str) -> str | None:
    """Return the text between the brackets of ``m-KEY-[...]``; None for another reply, or one that is cut off."""
    start = f"m-{key}-["
    return reply_text[len(start) : -1] if reply_text.startswith(start) and reply_text.endswith("]") else None


def lap_us(reply_text: str) -> int | None:
    """Return the microseconds of ``m-lap-us-...``; None for another reply, or one that is cut off."""
    digits = reply_text.removeprefix("m-lap-us-")
    return int(digits) if digits != reply_text and digits.isascii() and digits.isdigit() else None


def elapsed_us(first: int, last: int) -> int:
    """Return the microseconds between two readings of the clock, which may have wrapped around once."""
    return (last - first) % CLOCK_WRAPS_US


def results(text: str) -> list[float]:
    """Return the numbers of ``m-results-[...]``.

    Raises:
        ValueError: A value is not a number.
    """
    return [float(number) for number in text.split(",")]


def layers(text: str) -> list[tuple[str, int]]:
    """Return the operators of ``m-layers-[...]`` with their microseconds; empty if the firmware does not time them.

    Raises:
        ValueError: The text has another format.
    """
    pairs = [part.rpartition(":") for part in text.split(",")] if text else []
    return [(name, int(microseconds)) for name, _, microseconds in pairs]


def model_id(name: str, sha256: str) -> str:
    """Return the MODEL of a firmware that EdgePrune writes."""
    return f"{name}-{sha256[:_HASH_DIGITS]}"


def is_other_model(model: str, sha256: str) -> bool | None:
    """Return whether a board that reports ``model`` runs another file; None if the name does not identify a file."""
    match = _OWN_MODEL.fullmatch(model)
    return None if match is None else not sha256.startswith(match["hash"])


class LineBuffer:
    """Buffer that assembles lines from reads of any size."""

    _LONGEST = 1 << 16

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, received: bytes) -> Sequence[str]:
        """Return the lines that are complete. Bytes outside ASCII are replaced, and a line that is too long is cut."""
        *whole, self._rest = (self._rest + received).split(b"\n")
        self._rest = self._rest[-self._LONGEST :]
        return [line.decode("ascii", errors="replace").strip("\r") for line in whole]
