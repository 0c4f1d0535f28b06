"""JSON from others: of bounded size and depth, and no key twice, or two readers could see two different files."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from edgeprune import json_text
from edgeprune.bundle import paths

if TYPE_CHECKING:
    from pydantic import ValidationError

_MOST_BYTES = 16 << 20
_MOST_TOLD = 20
_HALF = b"\\ud"


def loads(content: bytes) -> Any:
    """The value in ``content``.

    Raises:
        ValueError: It is too large, not Unicode, no JSON, nested too deeply, or has a key twice.
    """
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it has {len(content):,} bytes; at most {_MOST_BYTES:,} are read")
    value = json_text.loads(content.decode(), object_pairs_hook=_once)
    if _HALF in content.lower():
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair, which could not be printed
    return value


def told(problems: ValidationError) -> str:
    """Each problem with its key, for people; the first few of many."""
    found = problems.errors(include_url=False, include_input=False)
    lines = [f"{paths.shown('.'.join(map(str, one['loc'])))}: {one['msg']}" for one in found[:_MOST_TOLD]]
    more = [f"and {len(found) - _MOST_TOLD} more"] if len(found) > _MOST_TOLD else []
    return "; ".join([*lines, *more])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        ((doubled, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key '{paths.shown(doubled)}' is there twice")
    return values
