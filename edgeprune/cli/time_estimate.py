"""One-time estimate of a long task's remaining time, from the duration of its first steps."""

from __future__ import annotations

import time
from collections.abc import Callable

_MIN_ANNOUNCED_S = 20.0
_MEASUREMENT_S = 2.0
"""Duration of the measurement in seconds; at least one step is measured."""


class TimeEstimate:
    """Estimator that announces the remaining time once, after the first steps of a long task.

    Args:
        announce: Callback that receives the sentence.
        clock: Monotonic clock in seconds.
    """

    def __init__(self, announce: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._announce = announce
        self._clock = clock
        self._total, self._done = 0, 0
        self._start_time = clock()
        self._announced = False

    def start(self, total: int) -> None:
        """Start the estimate of a task with ``total`` steps."""
        self._total, self._done, self._start_time = total, 0, self._clock()

    def advance(self, steps: int) -> None:
        """Count finished steps, and announce the remaining time if it is long."""
        self._done += steps
        elapsed = self._clock() - self._start_time
        if self._announced or elapsed < _MEASUREMENT_S or not 0 < self._done < self._total:
            return
        self._announced = True
        remaining = elapsed * (self._total - self._done) / self._done
        if elapsed + remaining > _MIN_ANNOUNCED_S:
            self._announce(f"takes about {duration(remaining)} more")


def duration(seconds: float) -> str:
    """Return a duration as text, such as ``40 s``, ``6 min`` or ``1 h 20 min``."""
    if seconds < 90:
        return f"{max(10, 10 * round(seconds / 10))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
