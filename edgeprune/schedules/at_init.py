"""Pruning at initialization."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from edgeprune import criteria
from edgeprune.errors import InputError
from edgeprune.model.seeding import derive_seed
from edgeprune.schedules.base import OPTIONS, Schedule, register
from edgeprune.schedules.gates import GateHook
from edgeprune.schedules.retrain_from_scratch import random_widths
from edgeprune.schedules.session import PruningSession
from edgeprune.training.phase import Phase


@register
class AtInit(Schedule):
    """Prune before training, by scores of the initial weights, and use all steps to train the small network.

    Lee et al., "SNIP: Single-Shot Network Pruning Based on Connection Sensitivity" (2019); of units van Amersfoort et
    al., "Single Shot Structured Pruning Before Training" (2020). With several ``draws``, the first candidate follows
    the criterion. The others have random widths, with units ranked by the criterion. Each candidate is trained for a
    short time with its removed units held at zero, and the best one on validation data is pruned. Li et al.,
    "Revisiting Random Channel Pruning for Neural Network Compression" (2022).

    Args:
        criterion: Name of a criterion, such as ``snip`` or ``random``. None: the criterion of the session.
        draws: Number of candidates that are compared. Defaults to 1.
        proxy: Fraction of all steps used for the comparison if there are several candidates. Defaults to 0.2.
    """

    name = "at_init"
    starts = "initial"

    def __init__(self, criterion: str | None = None, draws: int = 1, proxy: float = 0.2) -> None:
        if criterion is not None:
            criteria.find(criterion)
        self.criterion = criterion
        self.draws = OPTIONS.integer("draws", draws, least=1)
        self.proxy = OPTIONS.number("proxy", proxy, above=0, below=1)

    def check(self, session: PruningSession) -> None:
        super().check(session)
        if self.criterion is not None:
            criteria.create(self.criterion, data=session.samples is not None)
        if self.draws > 1 and session.samples is None and session.evaluate is None:
            raise InputError(
                f"schedule: {self.name}: draws={self.draws} needs data to compare the draws: pass data=..., or draws=1"
            )

    def run(self, session: PruningSession) -> Iterator[Phase]:
        candidates = [self._candidate(session, draw) for draw in range(self.draws)]
        best = candidates[0]
        if self.draws > 1:
            initial = session.snapshot()
            values = []
            for removed in candidates:
                yield Phase(fraction=self.proxy / self.draws, hook=_MaskedTraining(session, removed))
                values.append(session.value())
                session.rewind(initial)
            best = candidates[values.index(max(values))]
        session.remove(best, repair=False)
        yield Phase(fraction=1 - self.proxy if self.draws > 1 else 1.0)

    def _candidate(self, session: PruningSession, draw: int) -> Tensor:
        """Return the mask of the units that candidate ``draw`` removes, (units,)."""
        criterion = session.choice.criterion
        if self.criterion is not None:
            criterion = criteria.create(self.criterion, data=session.samples is not None)
        scores = session.score(criterion, seed=derive_seed(session.seed, draw))
        if draw:
            scores = scores * random_widths(session.units, session.seed, draw)
        return session.choose(scores, additive=criterion.additive)


class _MaskedTraining(GateHook):
    """Training of a network with a fixed mask of closed units."""

    def __init__(self, session: PruningSession, removed: Tensor) -> None:
        super().__init__(session)
        self._gates = 1.0 - removed.float()

    def draw(self, step: int) -> Tensor:
        return self._gates

    def lasting(self) -> Tensor:
        return self._gates
