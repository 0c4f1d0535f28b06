"""Foreign text that is safe to print: a terminal must not obey it."""

from __future__ import annotations

import re

# C0 and C1 controls, DEL, and the marks that reorder or hide text (Unicode TR36); line feeds and tabs stay.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    """``text`` with every character that a terminal could obey written as an escape (``\\x1b``)."""
    return _UNSAFE.sub(lambda found: ascii(found[0])[1:-1], text)


def printable_json(text: str) -> str:
    """JSON with the same value, in which every such character is a JSON escape (``\\u001b``)."""
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
