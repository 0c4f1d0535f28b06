"""JSON from others: of bounded size and depth, and no key twice, or two readers could see two different files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

_MOST_BYTES = 16 << 20
_MOST_TOLD = 20


def loads(content: bytes) -> Any:
    """The value in ``content``.

    Raises:
        ValueError: It is too large, not UTF-8, no JSON, nested too deeply, or has a key twice.
    """
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it has {len(content):,} bytes; at most {_MOST_BYTES:,} are read")
    try:
        return json.loads(content.decode(), object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def told(problems: ValidationError) -> str:
    """Each problem with its key, for people; the first few of many."""
    found = problems.errors(include_url=False, include_input=False)
    lines = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found[:_MOST_TOLD]]
    more = [f"and {len(found) - _MOST_TOLD} more"] if len(found) > _MOST_TOLD else []
    return "; ".join([*lines, *more])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key '{next(name for name in values if names.count(name) > 1)}' is there twice")
    return values
