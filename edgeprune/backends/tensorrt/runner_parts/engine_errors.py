"""Error and user messages of the scripts that build and run engines."""

from __future__ import annotations

import sys


class EngineError(Exception):
    """The engine cannot be built or run. The script ends with ``exit_code``."""

    def __init__(self, message: str, exit_code: int = 5) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def say(text: str) -> None:
    """Print a message to stderr, because stdout is for results."""
    print(text, file=sys.stderr, flush=True)
