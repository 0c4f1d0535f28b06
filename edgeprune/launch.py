"""How this process was started: alone, or by ``torchrun`` or ``accelerate launch`` as one of several."""

from __future__ import annotations

import os


def started_processes() -> int:
    """How many work together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this is the one that writes files and speaks to the user."""
    return int(os.environ.get("RANK", "0")) == 0
