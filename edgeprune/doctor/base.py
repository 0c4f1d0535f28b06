"""Findings of checks, and the registry of checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

from edgeprune.progress import SILENT, Progress

State = Literal["ok", "absent", "bad"]
"""State of a checked part: ``absent`` if it is optional and missing, ``bad`` if it does not work or is required and
missing."""


@dataclass(frozen=True)
class Finding:
    """Result for one checked part.

    Attributes:
        name: Name of the part.
        state: State of the part.
        detail: Version of the part, or description of the problem.
        fix: Command that fixes the problem; None if there is no problem, or if no single command fixes it.
        needed: Whether builds are impossible without the part.
    """

    name: str
    state: State
    detail: str
    fix: str | None = None
    needed: bool = False


@dataclass(frozen=True)
class CheckResult:
    """Findings of one check.

    Attributes:
        title: Title of the check.
        findings: Results in the order of the check.
    """

    title: str
    findings: tuple[Finding, ...]


Check = Callable[[], Iterable[Finding]]
_checks: dict[str, tuple[int, Check]] = {}
_AnyCheck = TypeVar("_AnyCheck", bound=Check)


def check(title: str, *, place: int) -> Callable[[_AnyCheck], _AnyCheck]:
    """Return a decorator that registers a check.

    Args:
        title: Unique title of the check.
        place: Position of the check in the output, from 0.
    """

    def register(function: _AnyCheck) -> _AnyCheck:
        assert title not in _checks, f"two checks are called {title}"
        _checks[title] = place, function
        return function

    return register


def examine(*, progress: Progress = SILENT) -> list[CheckResult]:
    """Run all checks in order; ``progress`` advances by one for each."""
    ordered = sorted(_checks.items(), key=lambda item: item[1][0])
    progress.start(len(ordered))
    results = []
    for title, (_, function) in ordered:
        results.append(CheckResult(title, tuple(function())))
        progress.advance()
    return results
