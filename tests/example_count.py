"""Number of examples that hypothesis draws."""

from __future__ import annotations

from typing import Any

from hypothesis import settings


def example_count(count: int, **options: Any) -> settings:
    """A third of ``count`` examples in the tests, ten times ``count`` to explore."""
    return settings(max_examples=max(1, count * settings.default.max_examples // 100), **options)
