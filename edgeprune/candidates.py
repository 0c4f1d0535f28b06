"""Comparison of candidate plans on validation data, and choice of the best one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from edgeprune import criteria
from edgeprune import selection as selections
from edgeprune.errors import BudgetError
from edgeprune.graph import RewrittenModel
from edgeprune.graph.capture import evaluating
from edgeprune.model.label_accuracy import LabelAccuracy
from edgeprune.progress import SILENT, Progress
from edgeprune.selection import Selection
from edgeprune.statistics import Samples
from edgeprune.statistics.sample_batches import samples_in
from edgeprune.training.evaluate import device_of, moved

CRITERIA = ("fisher", "l2")
"""Importance scores that ``auto`` compares where there are labelled samples; docs/selection.md has the reasons."""
CRITERION_WITHOUT_DATA = "l2"
"""Meaning of ``auto`` without data to compare on."""
BALANCES = (0.0, 1.0)
"""Values of the option ``balance`` of the selection ``global`` that ``auto`` compares."""
SAMPLES = 1024
"""Maximum number of validation samples for the comparison."""
FINALISTS = 2
"""Number of candidates that are trained for a short time, if training follows."""
TRAINING_FRACTION = 0.05
"""Fraction of all training steps for which each finalist is trained."""
FEWEST_STEPS = 8
"""Minimum number of steps of a short training, which is otherwise skipped as inconclusive."""
_FEWEST_BATCHES = 8
"""Minimum number of batches for a standard error."""


@dataclass(frozen=True)
class Candidate:
    """Settings that determine which units are removed.

    Attributes:
        criterion: Name of the importance score.
        selection: Name of the selection.
        balance: Option of the selection ``global``; None: the options of the selection apply.
        align: Multiple to which the number of channels is aligned in groups that are wide enough; 1: any number.
    """

    criterion: str
    selection: str = "global"
    balance: float | None = None
    align: int = 1

    def create_selection(self, options: Mapping[str, Any] | None = None, *, base: Path | None = None) -> Selection:
        """Create the selection with ``options``, and ``balance`` if set; file names are relative to ``base``."""
        balanced = {} if self.balance is None else {"balance": self.balance}
        return selections.create(self.selection, {**(options or {}), **balanced}, base=base)

    def __str__(self) -> str:
        balance = "" if self.balance is None else f" balance {self.balance:g}"
        return f"{self.criterion}, {self.selection}{balance}, align {self.align}"


@dataclass(frozen=True)
class Score:
    """Quality of a network on validation samples.

    Attributes:
        loss: Mean loss over the samples.
        accuracy: Fraction of correct labels, or the user's metric; None if neither is defined.
        losses: Mean loss of each batch, to compare two networks on the same batches; () if only ``loss`` is known.
    """

    loss: float
    accuracy: float | None = None
    losses: tuple[float, ...] = ()


@dataclass(frozen=True)
class CandidateResult:
    """Result of the comparison for one candidate.

    Attributes:
        candidate: Settings of the candidate.
        macs: Fraction of the dense network's MACs that remain.
        repaired: Score after repair, before any training.
        trained: Score after the short training; None if the candidate was not trained.
        chosen: Whether this candidate is used.
    """

    candidate: Candidate
    macs: float
    repaired: Score
    trained: Score | None = None
    chosen: bool = False

    @property
    def score(self) -> Score:
        """Better one of both scores, because training keeps the best state, including the initial one."""
        return min((one for one in (self.trained, self.repaired) if one is not None), key=_rank)


class Trial(Protocol):
    """Operations that the comparison needs from its caller."""

    def plan(self, candidate: Candidate) -> tuple[float, Tensor]:
        """Return the remaining fraction of the MACs, and the mask of the units that ``candidate`` removes, (units,).

        Raises:
            BudgetError: The candidate cannot reach the budget.
        """

    def build(self, removed: Tensor) -> RewrittenModel:
        """Return the repaired network without the units in the mask ``removed``; the dense network is not changed."""

    def score(self, model: nn.Module) -> Score:
        """Return the quality of ``model`` on validation samples, the same samples at every call."""

    def train(self, number: int, rewritten: RewrittenModel) -> bool:
        """Train candidate ``number`` in place for a short time; return False if nothing is trained."""


def combinations(
    *, criterion: str, selection: str, aligns: Sequence[int], data: bool, labels: bool = True
) -> tuple[Candidate, ...]:
    """Return the candidates to compare, those with the largest alignment first.

    These are all combinations of the values for each setting that is ``auto``. Without ``data``, candidates cannot be
    compared, and one with fixed values is returned.

    Args:
        criterion: Name of the importance score, or ``auto``.
        selection: Name of the selection, or ``auto``.
        aligns: Multiples of channels to try.
        data: Whether there are samples to compare on.
        labels: Whether the loss of outputs can be computed, which is not possible with a user-defined training step.
    """
    names: tuple[str, ...] = (criterion,)
    ways: tuple[tuple[str, float | None], ...] = ((selection, None),)
    multiples = sorted(set(aligns), reverse=True)
    if criterion == "auto":
        usable = tuple(name for name in CRITERIA if labels or criteria.find(name).needs != "labels")
        names = usable if data else (CRITERION_WITHOUT_DATA,)
    if selection == "auto":
        ways = tuple(("global", balance) for balance in BALANCES) if data else (("global", None),)
    if not data:
        multiples = multiples[-1:]
    return tuple(
        Candidate(name, way, balance, align)
        for align, name, (way, balance) in itertools.product(multiples, names, ways)
    )


def compare(
    candidates: Sequence[Candidate],
    trial: Trial,
    *,
    locked: Candidate | None = None,
    broadcast: Callable[[Any], Any] = lambda value: value,
    progress: Progress = SILENT,
) -> tuple[CandidateResult, ...]:
    """Compare candidates and return the results of those with different plans, in order. Exactly one is chosen.

    1. Make the plan of each candidate. Skip candidates that cannot reach the budget, or whose plan removes the same
       units as that of an earlier candidate.
    2. Build and repair each network, and score it on validation samples.
    3. Train the ``FINALISTS`` with the lowest loss for a short time, and score them again.
    4. Choose the candidate with the lowest loss before or after its training; see ``best`` for alignment. An earlier
       choice (``locked``) is repeated regardless of the losses.

    Complexity: one plan, one repair and one pass over the validation samples for each candidate.

    Args:
        candidates: Candidates to compare, at least one.
        trial: Operations that create, score and train the networks.
        locked: Candidate that an earlier comparison chose; it is chosen again if it reaches the budget.
        broadcast: Function that returns the value of process 0 in all processes.
        progress: Progress bar, which advances once for each candidate and once for each finalist.

    Raises:
        BudgetError: No candidate reaches the budget; the error is that of the last one.
    """
    progress.start(len(candidates) + FINALISTS)
    plans = _plans(candidates, trial, locked, broadcast)
    progress.advance(len(candidates) - len(plans))
    results: list[CandidateResult] = []
    finalists: dict[int, RewrittenModel] = {}
    for number, (candidate, macs, removed) in enumerate(plans):
        rewritten = trial.build(removed)
        results.append(CandidateResult(candidate, macs, broadcast(trial.score(rewritten.model))))
        finalists[number] = rewritten
        if len(finalists) > FINALISTS:
            del finalists[max(finalists, key=lambda index: _rank(results[index].repaired))]
        progress.advance()
    for number, rewritten in sorted(finalists.items()) if len(results) > 1 else ():
        if not trial.train(number, rewritten):
            break
        results[number] = replace(results[number], trained=broadcast(trial.score(rewritten.model)))
        progress.advance()
    repeated = [number for number, result in enumerate(results) if result.candidate == locked]
    winner = repeated[0] if repeated else best(results)
    results[winner] = replace(results[winner], chosen=True)
    return tuple(results)


def best(results: Sequence[CandidateResult]) -> int:
    """Return the index of the result with the lowest loss, or of a better aligned one with an equivalent loss.

    A loss is equivalent if its loss exceeds the lowest by at most one standard error of the mean difference on the same
    batches (the rule of Breiman et al., 1984). An aligned network is often the faster one on the target.
    """
    order = sorted(range(len(results)), key=lambda index: _rank(results[index].score))
    lowest = results[order[0]].score
    as_good = [index for index in order if index == order[0] or _as_good(results[index].score, lowest)]
    return max(as_good, key=lambda index: (results[index].candidate.align, -order.index(index)))


def score(model: nn.Module, samples: Samples) -> Score:
    """Return the mean loss of ``model`` on ``samples``, in evaluation mode, with the loss of each batch.

    The accuracy is that of class labels; None for other labels. A loss that is not finite is treated as infinite.

    Raises:
        EdgePruneError: The loss fails on the outputs.
    """
    device, losses, counts = device_of(model), [], []
    accuracy = LabelAccuracy()
    with evaluating(model), torch.no_grad():
        for batch in samples:
            args, kwargs, labels = moved(batch, device, channels_last=False)
            outputs = model(*args, **kwargs)
            losses.append(float(samples.loss(outputs, labels)))
            counts.append(samples_in((args, kwargs)))
            accuracy.add(outputs, labels)
    finite = [loss if math.isfinite(loss) else math.inf for loss in losses]
    total = sum(counts)
    mean = sum(loss * count for loss, count in zip(finite, counts, strict=True)) / total
    return Score(mean, accuracy.value, tuple(finite))


def _plans(
    candidates: Sequence[Candidate], trial: Trial, locked: Candidate | None, broadcast: Callable[[Any], Any]
) -> list[tuple[Candidate, float, Tensor]]:
    """Return candidate, remaining fraction of the MACs, and mask of removed units for each distinct plan.

    Of candidates that remove the same units, only the first is included, or the one that is ``locked``.
    """
    plans: dict[bytes, tuple[Candidate, float, Tensor]] = {}
    failure: BudgetError | None = None
    for candidate in candidates:
        try:
            macs, removed = trial.plan(candidate)
        except BudgetError as problem:
            failure = problem
            continue
        removed = broadcast(removed)
        units = removed.numpy().tobytes()
        if units not in plans or candidate == locked:
            plans[units] = candidate, macs, removed
    if not plans:
        assert failure is not None, "there is at least one candidate"
        raise failure
    return list(plans.values())


def _rank(score: Score) -> tuple[float, float]:
    """Sort key: the lower, the better; accuracy decides between equal losses."""
    return score.loss, -(score.accuracy or 0.0)


def _as_good(score: Score, lowest: Score) -> bool:
    differences = torch.tensor(score.losses, dtype=torch.float64) - torch.tensor(lowest.losses, dtype=torch.float64)
    if len(differences) < _FEWEST_BATCHES or not bool(differences.isfinite().all()):
        return score.loss <= lowest.loss
    return float(differences.mean()) <= float(differences.std()) / math.sqrt(len(differences))
