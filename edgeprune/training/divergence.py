"""When training has gone wrong."""

from __future__ import annotations

import math
from typing import Any

_WINDOW = 10
_FACTOR = 10.0


class Divergence:
    """Watches the loss of the steps: it must stay finite, and its mean of ten steps within ten times the first level.

    That level is the least mean of the first one, two, ... ten steps, so that a loss which explodes among them does not
    raise it; or 1 where that is less: a network that hardly errs may err a little more for a while.
    """

    def __init__(self) -> None:
        self._first: list[float] = []
        self._last: list[float] = []

    def seen(self, loss: float) -> bool:
        """Take in the loss of a step, and say whether training has gone wrong."""
        if not math.isfinite(loss):
            return True
        if len(self._first) < _WINDOW:
            self._first.append(loss)
        self._last = [*self._last[1 - _WINDOW :], loss]
        return _mean(self._last) > self.limit

    @property
    def limit(self) -> float:
        """The mean loss that is too much, after one step at least."""
        level = min(_mean(self._first[:count]) for count in range(1, len(self._first) + 1))
        return _FACTOR * max(level, 1.0)

    def state_dict(self) -> dict[str, Any]:
        return {"first": list(self._first), "last": list(self._last)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._first, self._last = list(state["first"]), list(state["last"])


def _mean(losses: list[float]) -> float:
    return sum(losses) / len(losses)
