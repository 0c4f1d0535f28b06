"""JSON that somebody else wrote."""

from __future__ import annotations

import json
from typing import Any


def loads(text: str, **options: Any) -> Any:
    """``json.loads``, to which depth is a ValueError as all else is that is wrong with ``text``."""
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
