"""Escaping of untrusted text, so that it cannot control a terminal."""

from __future__ import annotations

import re

# C0 and C1 controls, DEL, and the marks that reorder or hide text (Unicode TR36); line feeds and tabs remain.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    """Return ``text`` with every character that could control a terminal as an escape (``\\x1b``)."""
    return _UNSAFE.sub(lambda match: ascii(match[0])[1:-1], text)


def printable_json(text: str) -> str:
    """Return JSON with the same value, in which every such character is a JSON escape (``\\u001b``)."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
