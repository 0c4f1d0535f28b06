"""Error of the scripts that build and run engines, and messages to their user."""

from __future__ import annotations

import sys


class EngineError(Exception):
    """The engine cannot be built or run; ``exit_code`` is what the script ends with."""

    def __init__(self, message: str, exit_code: int = 5) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def say(text: str) -> None:
    """Tell the user; stdout is for results."""
    print(text, file=sys.stderr, flush=True)
