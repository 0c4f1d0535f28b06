"""Findings of checks, and the registry of checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

State = Literal["ok", "absent", "bad"]
"""``absent``: not here, and not everyone needs it. ``bad``: it is here and does not work, or it must be here."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What it is.
        state: Whether it works.
        detail: Version, or description of the problem.
        fix: The line to type that puts it right; None where there is nothing to put right, or no one line does.
        needed: Nothing works without it.
    """

    name: str
    state: State
    detail: str
    fix: str | None = None
    needed: bool = False


@dataclass(frozen=True)
class CheckResult:
    """All that one check found, under its title."""

    title: str
    findings: tuple[Finding, ...]


Check = Callable[[], Iterable[Finding]]
_checks: dict[str, tuple[int, Check]] = {}
_Made = TypeVar("_Made", bound=Check)


def check(title: str, *, place: int) -> Callable[[_Made], _Made]:
    """Decorator: have ``examine`` run this check; those of a lower ``place`` come first."""

    def register(made: _Made) -> _Made:
        assert title not in _checks, f"two checks are called {title}"
        _checks[title] = place, made
        return made

    return register


def examine() -> list[CheckResult]:
    """Run every check."""
    ordered = sorted(_checks.items(), key=lambda item: item[1][0])
    return [CheckResult(title, tuple(made())) for title, (_, made) in ordered]
