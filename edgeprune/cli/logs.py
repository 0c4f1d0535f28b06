"""Log messages on stderr."""

from __future__ import annotations

import logging
import sys

from edgeprune.safe_text import printable

logger = logging.getLogger("edgeprune.cli")


def configure(verbose: int) -> None:
    """Print warnings on stderr; also information for ``verbose`` 1, and debug messages for 2."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PrintableFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


class _PrintableFormatter(logging.Formatter):
    """Formatter that escapes control characters, because messages quote devices and files."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
