"""Detection of diverging training losses."""

from __future__ import annotations

import math
from typing import Any

_WINDOW = 10
_FACTOR = 10.0


class Divergence:
    """Detector of losses that are not finite, or whose mean over ten steps exceeds ten times the initial level.

    The initial level is the smallest mean of the first one, two, ... ten steps, so that a loss that explodes among them
    does not raise it. It is at least 1: a network with a very small loss may get slightly worse for a while.
    """

    def __init__(self) -> None:
        self._first: list[float] = []
        self._last: list[float] = []

    def update(self, loss: float) -> bool:
        """Record the loss of a step, and return whether training has diverged."""
        if not math.isfinite(loss):
            return True
        if len(self._first) < _WINDOW:
            self._first.append(loss)
        self._last = [*self._last[1 - _WINDOW :], loss]
        return _mean(self._last) > self.limit

    @property
    def limit(self) -> float:
        """Largest allowed mean loss; defined after the first step."""
        level = min(_mean(self._first[:count]) for count in range(1, len(self._first) + 1))
        return _FACTOR * max(level, 1.0)

    def state_dict(self) -> dict[str, Any]:
        return {"first": list(self._first), "last": list(self._last)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._first, self._last = list(state["first"]), list(state["last"])


def _mean(losses: list[float]) -> float:
    return sum(losses) / len(losses)
