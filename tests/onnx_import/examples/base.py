"""Registry of the examples of importers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tests.conformance.lowerings.base import Build, Example

_examples: dict[str, list[Build]] = {}


def example(*ops: str) -> Callable[[Callable[..., Example]], Callable[..., Example]]:
    """Decorator: the function makes an example of the operator; of several, it is also given the name of one."""

    def add(build: Callable[..., Example]) -> Callable[..., Example]:
        for op in ops:
            of_one: Build = build if len(ops) == 1 else lambda make, op=op: build(make, op)
            _examples.setdefault(op, []).append(of_one)
        return build

    return add


def examples() -> Mapping[str, Sequence[Build]]:
    """All examples by operator."""
    return dict(_examples)
