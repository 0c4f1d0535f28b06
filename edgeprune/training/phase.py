"""A stretch of training, and what may reach into its steps. Networks change shape only between stretches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class Hook:
    """Reaches into the updates of a stretch. The base class does nothing.

    Where training runs in several processes each has its own, and gradients are averaged before it sees them: it must
    decide the same in all, from them and from its seed.
    """

    def begin(self, steps: int) -> None:
        """A stretch of ``steps`` updates begins, the first of them 0; again where training is taken back."""

    def before_update(self, step: int) -> None:
        """Gradients are complete; the optimiser is about to use them."""

    def after_update(self, step: int) -> None:
        """The optimiser has changed the weights."""

    def end(self) -> None:
        """The stretch is over: leave the weights as they are to be used."""

    def state_dict(self) -> dict[str, Any]:
        """All that ``load_state_dict`` needs to go on after the same update, tensors and plain values alone."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what ``state_dict`` gave, after ``begin``; the weights are those of that moment already."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """So much training.

    Attributes:
        share: Of all steps that there are, above 0; those of all stretches sum to 1.
        rate: The part of the learning-rate curve that it runs along: (0, 1) is the whole curve, (0.5, 1) its second
            half, which begins with the rate that is due after half of the training.
        hook: Reaches into its updates.
        forget: The optimiser forgets momentum and moments first.
    """

    share: float
    rate: tuple[float, float] = (0.0, 1.0)
    hook: Hook | None = None
    forget: bool = False

    def __post_init__(self) -> None:
        assert 0 < self.share <= 1, f"a stretch over {self.share} of the steps"
        assert 0 <= self.rate[0] < self.rate[1] <= 1, f"a stretch from {self.rate[0]} to {self.rate[1]} of the curve"
