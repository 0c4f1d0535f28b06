"""Messages about JSON from others that does not fit its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.bundle import paths

if TYPE_CHECKING:
    from pydantic import ValidationError

_MOST_TOLD = 20


def told(problems: ValidationError) -> str:
    """Each problem with its key, for people; the first few of many."""
    found = problems.errors(include_url=False, include_input=False)
    lines = [f"{paths.shown('.'.join(map(str, one['loc'])))}: {one['msg']}" for one in found[:_MOST_TOLD]]
    more = [f"and {len(found) - _MOST_TOLD} more"] if len(found) > _MOST_TOLD else []
    return "; ".join([*lines, *more])
