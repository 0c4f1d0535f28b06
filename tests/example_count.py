"""Number of examples that hypothesis draws."""

from __future__ import annotations

from typing import Any

from hypothesis import settings


def example_count(count: int, **options: Any) -> settings:
    """About ``count`` examples in the whole suite, a third in the fast tier, and ten times as many to explore."""
    return settings(max_examples=max(1, count * settings.default.max_examples // 100), **options)
