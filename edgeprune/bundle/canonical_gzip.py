"""Reader of gzip streams in exactly the format that EdgePrune writes, without room for hidden data.

RFC 1952 allows a file name, a comment and extra fields in the header, several members, and padding. This reader
verifies every byte, and therefore accepts only one member without optional fields, followed by its trailer and the end
of the file.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from typing import BinaryIO

_HEADER = struct.Struct("<2sBBIBB")
_TRAILER = struct.Struct("<II")
_CHUNK_BYTES = 1 << 16


class CanonicalGzip:
    """Reader that decompresses ``file`` and holds at most one chunk in memory, regardless of the compression ratio.

    Attributes:
        epoch: Modification time in the header, in seconds since 1970.

    Raises:
        gzip.BadGzipFile: The header is not one that EdgePrune writes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._checksum = self._size = 0
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size:
            raise EOFError("its gzip header is truncated")
        magic, method, flags, self.epoch, level, system = _HEADER.unpack(header)
        if (magic, method) != (b"\x1f\x8b", 8):
            raise gzip.BadGzipFile("it is not a gzip file")
        if (flags, level, system) != (0, 0, 255):
            raise gzip.BadGzipFile(
                "its gzip header has a file name, a comment or other fields, which EdgePrune does not write"
            )

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes; fewer or none at the end of the stream."""
        content = b""
        while not content and size and not self._inflate.eof:
            chunk = self._inflate.unconsumed_tail or self._file.read(_CHUNK_BYTES)
            if not chunk:
                raise EOFError("it is truncated")
            content = self._inflate.decompress(chunk, size)
        self._checksum = zlib.crc32(content, self._checksum)
        self._size += len(content)
        return content

    def tell(self) -> int:
        """Return the number of decompressed bytes that were read so far."""
        return self._size

    def finish(self) -> None:
        """Check the trailer, after ``read`` has returned all content.

        Raises:
            gzip.BadGzipFile: The trailer does not match the content, or bytes follow it.
        """
        trailer = self._inflate.unused_data + self._file.read(_TRAILER.size + 1)
        if len(trailer) < _TRAILER.size:
            raise EOFError("its gzip trailer is truncated")
        if _TRAILER.unpack(trailer[: _TRAILER.size]) != (self._checksum, self._size & 0xFFFFFFFF):
            raise gzip.BadGzipFile("the checksum or size in its gzip trailer is wrong")
        if len(trailer) > _TRAILER.size:
            raise gzip.BadGzipFile("data follow its gzip stream")
