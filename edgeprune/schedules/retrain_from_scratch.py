"""The baseline: what the widths alone are worth."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from edgeprune import criteria
from edgeprune.graph import Units
from edgeprune.model.seeding import generator
from edgeprune.schedules.base import OPTIONS, Schedule, register
from edgeprune.schedules.session import PruningSession
from edgeprune.training.phase import Phase

SPREAD = 4.0
"""Scores of a group are multiplied by a factor from ``1 / SPREAD`` to ``SPREAD`` where widths are drawn."""


@register
class RetrainFromScratch(Schedule):
    """Prune, reinitialize the remaining network, and train it: the accuracy of the widths alone.

    ``widths`` are those the criterion has ``chosen``, or ``random`` ones within the same budget, drawn by the seed.
    What a schedule gains over this is what it gains by the weights it keeps. Liu et al., "Rethinking the Value of
    Network Pruning" (2019).
    """

    name = "retrain_from_scratch"

    def __init__(self, widths: str = "chosen") -> None:
        self.widths = OPTIONS.one_of("widths", widths, ("chosen", "random"))

    def run(self, session: PruningSession) -> Iterator[Phase]:
        if self.widths == "random":
            scores = session.score(criteria.create("random")) * random_widths(session.units, session.seed)
            removed = session.choose(scores, additive=False)
        else:
            removed = session.choose(session.score())
        session.remove(removed, repair=False)
        session.reinitialize()
        yield Phase(fraction=1.0)


def random_widths(units: Units, *key: int) -> Tensor:
    """A factor for the score of each unit, the same within a group, log-uniform: groups get narrow or wide by chance.

    Random scores alone leave all groups about as wide in every draw, as chance levels out over their units.
    """
    drawn = torch.rand(len(units.groups), generator=generator(*key), dtype=torch.float64)
    sizes = torch.tensor([len(group) for group in units.groups])
    return torch.repeat_interleave(SPREAD ** (2 * drawn - 1), sizes)
