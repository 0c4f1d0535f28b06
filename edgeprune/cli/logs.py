"""Log messages on stderr."""

from __future__ import annotations

import logging
import sys

from edgeprune.safe_text import printable

logger = logging.getLogger("edgeprune.cli")


def configure(verbose: int) -> None:
    """Print warnings; with ``verbose`` 1 also information, and with 2 everything."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PrintableFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])


class _PrintableFormatter(logging.Formatter):
    """Escapes what a terminal could obey: messages quote what devices and files say."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
