"""Reading of untrusted input files: regular files of a limited size, and UTF-8 text."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from edgeprune.errors import InputError

MAX_TEXT_BYTES = 16 << 20
MAX_MODEL_BYTES = (1 << 31) - 1
"""Protocol buffers and flatbuffers cannot be larger."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_KINDS = (
    (stat.S_ISDIR, errno.EISDIR, "it is a folder"),
    (stat.S_ISFIFO, errno.EINVAL, "it is a named pipe"),
    (stat.S_ISSOCK, errno.EINVAL, "it is a socket"),
)


class InputFileError(InputError, OSError):
    """A file that cannot be opened or read as input; ``strerror`` is the reason and ``filename`` the path."""

    def __str__(self) -> str:
        return f"cannot read {self.filename}: {self.strerror}"


def open_regular(path: Path, *, follow_links: bool = True) -> BinaryIO:
    """Open a regular file for reading, without waiting for the writer of a pipe.

    Args:
        path: Path of the file.
        follow_links: Whether to accept a symbolic link to a regular file.

    Returns:
        The file, opened for reading in binary mode.

    Raises:
        InputFileError: The path is a folder, pipe, socket or device, or cannot be a path.
        OSError: The operating system cannot open the file.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except ValueError as problem:  # a null character
        raise InputFileError(errno.EINVAL, f"it is not a valid path ({problem})", ascii(str(path))) from problem
    except OSError as problem:
        if problem.errno == errno.ENXIO:
            raise InputFileError(errno.EINVAL, "it is a socket, not a regular file", str(path)) from problem
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        code, reason = next(
            ((code, reason) for is_kind, code, reason in _KINDS if is_kind(mode)), (errno.EINVAL, "it is a device")
        )
        raise InputFileError(code, f"{reason}, not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path, *, max_bytes: int = MAX_TEXT_BYTES, follow_links: bool = True) -> bytes:
    """Read a regular file of at most ``max_bytes`` bytes.

    Args:
        path: Path of the file.
        max_bytes: Maximum size in bytes. Defaults to 16 MiB.
        follow_links: Whether to accept a symbolic link to a regular file.

    Raises:
        InputFileError: The file is too large, or is not a regular file.
        OSError: The operating system cannot read the file.
    """
    with open_regular(path, follow_links=follow_links) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(max_bytes + 1) if size <= max_bytes else b""
    if max(size, len(content)) > max_bytes:
        raise InputFileError(errno.EINVAL, f"it has {size:,} bytes, but the limit is {max_bytes:,}", str(path))
    return content


def read_text(path: Path, *, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Read a regular file of UTF-8 text.

    Args:
        path: Path of the file.
        max_bytes: Maximum size in bytes. Defaults to 16 MiB.

    Raises:
        ValueError: The content is not UTF-8, or starts with a byte order mark.
        InputFileError: The file is too large, or is not a regular file.
        OSError: The operating system cannot read the file.
    """
    return decode(read_bytes(path, max_bytes=max_bytes))


def decode(content: bytes) -> str:
    """Decode UTF-8 text.

    Raises:
        ValueError: The content is not UTF-8, or starts with a byte order mark. The message names the byte.
    """
    if content.startswith(_BYTE_ORDER_MARK):
        raise ValueError("it starts with a byte order mark (bytes EF BB BF): save it as UTF-8 without one")
    if encoding := _OTHER_MARKS.get(content[:2]):
        raise ValueError(f"it starts with the byte order mark of {encoding}: save it as UTF-8 without one")
    try:
        return content.decode()
    except UnicodeDecodeError as problem:
        raise ValueError(f"it is not UTF-8 text: {problem.reason} at byte {problem.start}") from problem
