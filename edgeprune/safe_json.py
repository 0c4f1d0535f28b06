"""Safe reader of untrusted JSON: limited size, depth and numbers, and unique keys."""

from __future__ import annotations

import json
from collections import Counter
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from edgeprune import input_files
from edgeprune.safe_text import printable

MAX_BYTES = input_files.MAX_TEXT_BYTES
MAX_DEPTH = 64
MAX_INTEGER = 2**64 - 1
_MAX_DIGITS = len(str(MAX_INTEGER)) + 1
_ESCAPED_SURROGATE = "\\ud"


def load(path: Path, *, max_bytes: int = MAX_BYTES) -> Any:
    """Read the JSON value in the file ``path``; see ``loads``.

    Raises:
        ValueError: See ``loads``.
        OSError: The path is not a regular file, is larger than ``max_bytes``, or cannot be read.
    """
    return loads(input_files.read_bytes(path, max_bytes=max_bytes), max_bytes=max_bytes)


def loads(content: str | bytes, *, max_bytes: int = MAX_BYTES, unique_keys: bool = True) -> Any:
    """Read one JSON value.

    Args:
        content: Text, or its UTF-8 bytes.
        max_bytes: Largest size of ``content``.
        unique_keys: Whether duplicate keys in an object are an error, because two readers could see different values.

    Raises:
        ValueError: ``content`` is too large, is not UTF-8 or JSON, is nested deeper than ``MAX_DEPTH``, or contains
            NaN, infinity, an integer of more than 64 bits, half a surrogate pair or a duplicate key.
    """
    if len(content) > max_bytes:
        raise ValueError(f"it has {len(content):,} bytes, but the limit is {max_bytes:,}")
    text = input_files.decode(content) if isinstance(content, bytes) else content
    try:
        value = json.loads(
            text,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object if unique_keys else None,
        )
    except RecursionError:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels") from None
    check_depth(value)
    if _ESCAPED_SURROGATE in text.lower():
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair cannot be printed
    return value


def check_depth(value: Any) -> None:
    """Raise ValueError if lists and tables in ``value`` are nested deeper than ``MAX_DEPTH``."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")


def check_integer(value: int) -> int:
    """Return ``value``; raise ValueError if it has more than 64 bits."""
    if abs(value) > MAX_INTEGER:
        raise ValueError("it contains an integer of more than 64 bits")
    return value


def _integer(text: str) -> int:
    return check_integer(int(text) if len(text) <= _MAX_DIGITS else MAX_INTEGER + 1)


def _number(text: str) -> float:
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large for a 64-bit float")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        ((doubled, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key '{printable(doubled)}' occurs twice in one object")
    return values
