"""An announcement of how long a bar will take, made once, from the pace of its first steps."""

from __future__ import annotations

import time
from collections.abc import Callable

_WORTH_SAYING_S = 20.0
_MEASURED_FOR_S = 2.0
"""The pace is measured over this time, or over one step where that takes longer."""


class TimeEstimate:
    """Says once, after the first steps, that the work takes long.

    Args:
        announce: Takes the sentence.
        clock: Seconds since any fixed moment.
    """

    def __init__(self, announce: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._announce = announce
        self._clock = clock
        self._total, self._done = 0, 0
        self._began = clock()
        self._announced = False

    def start(self, total: int) -> None:
        """The work has ``total`` steps and begins now."""
        self._total, self._done, self._began = total, 0, self._clock()

    def advance(self, steps: int) -> None:
        """Some more steps are done."""
        self._done += steps
        elapsed = self._clock() - self._began
        if self._announced or elapsed < _MEASURED_FOR_S or not 0 < self._done < self._total:
            return
        self._announced = True
        remaining = elapsed * (self._total - self._done) / self._done
        if elapsed + remaining > _WORTH_SAYING_S:
            self._announce(f"takes about {duration(remaining)} more")


def duration(seconds: float) -> str:
    """``40 s``, ``6 min``, ``1 h 20 min``."""
    if seconds < 90:
        return f"{max(10, 10 * round(seconds / 10))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
