"""Baseline: training of the pruned architecture from newly initialized weights."""

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
"""Random factors of the scores of a group are between ``1 / SPREAD`` and ``SPREAD``."""


@register
class RetrainFromScratch(Schedule):
    """Prune, reinitialize the remaining network, and train it: the accuracy of the widths alone.

    ``widths`` are those ``chosen`` by the criterion, or ``random`` ones within the same budget. The difference between
    a schedule and this baseline is the value of the weights that the schedule keeps. Liu et al., "Rethinking the Value
    of Network Pruning" (2019).
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
    """Return a log-uniform factor for the score of each unit, (units,), equal within a group, for random widths.

    Random scores alone give all groups about the same width, because they average out over the units.
    """
    uniform = torch.rand(len(units.groups), generator=generator(*key), dtype=torch.float64)
    sizes = torch.tensor([len(group) for group in units.groups])
    return torch.repeat_interleave(SPREAD ** (2 * uniform - 1), sizes)
