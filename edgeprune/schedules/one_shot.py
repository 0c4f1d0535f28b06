"""One-shot pruning: remove all units at once, then fine-tune."""

from __future__ import annotations

from collections.abc import Iterator

from edgeprune.schedules.base import Schedule, register
from edgeprune.schedules.session import PruningSession
from edgeprune.training.phase import Phase


@register
class OneShot(Schedule):
    """Prune a trained network once, then fine-tune it for all steps.

    LeCun et al., "Optimal Brain Damage" (1990); applied to filters by Li et al., "Pruning Filters for Efficient
    ConvNets" (2017).
    """

    name = "one_shot"
    plans_ahead = True

    def run(self, session: PruningSession) -> Iterator[Phase]:
        session.prune()
        yield Phase(fraction=1.0)
