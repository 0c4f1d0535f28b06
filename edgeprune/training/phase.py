"""Training phases, between which networks may change shape, and hooks that run within a phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class Hook:
    """Callbacks around the updates of a phase. The base class does nothing.

    If training runs in several processes, each process has its own hook. Gradients are averaged before the hook reads
    them. The hook must make the same decisions in all processes, from these gradients and its seed.
    """

    def begin(self, steps: int) -> None:
        """Begin a phase of ``steps`` updates, numbered from 0; called again after a rollback."""

    def before_update(self, step: int) -> None:
        """Called when gradients are complete, before the optimizer uses them."""

    def after_update(self, step: int) -> None:
        """Called after the optimizer has changed the weights."""

    def end(self) -> None:
        """End the phase, and leave the weights in the state in which they are used afterwards."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that ``load_state_dict`` needs to resume after this update: tensors and plain values."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of ``state_dict``; called after ``begin``, with the weights already restored."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Part of a training run.

    Attributes:
        fraction: Fraction of all training steps, above 0. The fractions of all phases sum to 1.
        rate: Interval of the learning-rate curve that the phase follows: (0, 1) is the whole curve, (0.5, 1) its second
            half, which begins with the rate after half of the training.
        hook: Callbacks around the updates of the phase. None: no callbacks.
        reset_optimizer: Whether to clear the optimizer state before the phase. Defaults to False.
    """

    fraction: float
    rate: tuple[float, float] = (0.0, 1.0)
    hook: Hook | None = None
    reset_optimizer: bool = False

    def __post_init__(self) -> None:
        assert 0 < self.fraction <= 1, f"a phase over {self.fraction} of the steps"
        assert 0 <= self.rate[0] < self.rate[1] <= 1, f"a phase from {self.rate[0]} to {self.rate[1]} of the curve"
