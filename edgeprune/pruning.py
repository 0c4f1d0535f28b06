"""``prune``: capture, score, select, rewrite, verify and repair in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeprune import candidates, criteria, graph
from edgeprune import select as selections
from edgeprune.candidates import Candidate, CandidateResult, Score
from edgeprune.config import Budget
from edgeprune.cost import Cost, CostModel
from edgeprune.criteria import Criterion, Network
from edgeprune.errors import InputError
from edgeprune.graph import Equivalence, Rewritten, Units
from edgeprune.graph.rewrite import rewrite
from edgeprune.model.wrappers import unwrap
from edgeprune.progress import SILENT, Progress
from edgeprune.repair import Repair, chosen_repairs, constant_units
from edgeprune.select import Constraint, Curve, Plan, Selection, make_plan
from edgeprune.select.measuring import measure_sensitivity
from edgeprune.statistics import Loss, Samples
from edgeprune.statistics.held_out import held_out

PREFERRED_ALIGNMENT = 8
"""Channels that most runtimes prefer multiples of: two vectors of four floats."""


@dataclass(frozen=True)
class Pruned:
    """Result of ``prune``.

    Attributes:
        model: The pruned network, ready to train, save and export.
        plan: Removed units.
        before: Costs of the dense network.
        after: Costs of ``model``.
        equivalence: Result of the equivalence check, made before repair; None without one.
        frozen: Groups that must stay whole, with the reason.
        form: ``module`` for the user's own module with sliced weights; ``captured`` for the captured program, which is
            used where the forward has sizes written down.
        repaired: Repairs that were made.
        candidates: Candidate plans that were compared, see ``prune``; () where there was one way to choose.
    """

    model: nn.Module
    plan: Plan
    before: Cost
    after: Cost
    equivalence: Equivalence | None
    frozen: list[tuple[str, str]]
    form: str
    repaired: tuple[str, ...] = ()
    candidates: tuple[CandidateResult, ...] = ()

    def __repr__(self) -> str:
        checked = "not checked" if self.equivalence is None else "checked"
        return (
            f"Pruned({type(self.model).__name__}, MACs {self.before.macs:,} -> {self.after.macs:,}, parameters "
            f"{self.before.params:,} -> {self.after.params:,}, {checked}, {len(self.frozen)} groups frozen)"
        )


def prune(
    model: nn.Module,
    example: graph.Example,
    *,
    budget: Budget | Mapping[str, Any],
    criterion: str | Criterion = "auto",
    data: Iterable[Any] | None = None,
    validation: Iterable[Any] | None = None,
    loss: Loss = functional.cross_entropy,
    samples: int = 1024,
    select: str | Selection = "auto",
    costs: Mapping[str, CostModel] | None = None,
    repair: str | Sequence[str] | None = "auto",
    will_finetune: bool = False,
    exclude: Sequence[str] = (),
    min_units: float | None = None,
    align: int | Literal["auto"] = "auto",
    attention: str = "heads",
    verify: bool = True,
    copy: bool = True,
    optimizer: torch.optim.Optimizer | None = None,
    seed: int = 0,
) -> Pruned:
    """Remove the filters that contribute the least for what they cost, until the budget holds.

    With ``data``, each of ``criterion``, ``select`` and ``align`` that is ``auto`` is tried in several ways: every
    combination makes a plan, is repaired and scored by its loss on validation batches, and the best is used; see
    docs/selection.md. Without ``data``, ``auto`` means ``l2``, ``global`` and any number of channels.

    Args:
        model: any network that ``torch.export`` captures; evaluation mode is used, its own mode is kept. Of a parallel,
            averaged or compiled module the network inside is pruned and returned.
        example: inputs, as a tuple of tensors or a mapping of keyword arguments.
        budget: upper limits: ``{"macs": 0.5}`` is half of dense, ``{"params": 250_000}`` is absolute.
        criterion: name of the importance score, see ``edgeprune criteria``, or one made by hand.
        data: batches of (input, label), read several times: a DataLoader, or a list. An input is a tensor, a tuple or
            a dict of inputs.
        validation: batches to compare candidates on. None: every fourth batch of ``data`` is held out for that, and
            read again only to repair the network that was chosen. A single batch serves both.
        loss: ``loss(outputs, labels)`` of a batch, its mean.
        samples: to read of ``data`` at most, and of ``validation``.
        select: name of the selection, see ``edgeprune.select``, or one made by hand.
        costs: models of costs that need more than the network: ``{"latency_ms": cost_model("latency_ms", ...)}``.
        repair: repairs of the network that remains, see ``edgeprune.repair.REPAIRS``; ``auto`` is the best measured one
            where there is data, None slices weights alone.
        will_finetune: whether the caller trains the network afterwards; ``prune`` itself does not train. ``auto``
            repairs in another way then.
        exclude: globs over layer names that must stay whole (``["head*"]``).
        min_units: least that stays of each group, a share in (0, 1] or a number of units above 1.
        align: each group keeps a multiple of this number of channels, or all. ``auto`` tries multiples of 8 where
            groups are wide enough, which most runtimes prefer, and any number.
        attention: ``heads`` removes whole heads, ``head_dim`` the same positions in each.
        verify: whether to check that the pruned network is equivalent to the dense one without the removed units.
        copy: leave ``model`` as it is; False slices its tensors in place.
        optimizer: the one that trains ``model``, with ``copy=False``: momentum and optimizer state are sliced along
            with the parameters, so that training continues with ``model`` of the result.
        seed: for all random choices.

    Raises:
        InputError: an unknown criterion, selection or repair, or one that lacks data; data that does not fit; the state
            of the optimizer cannot follow.
        ModelError, CaptureError: the network cannot be captured.
        BudgetError: the budget cannot be reached; names the closest value.
        EquivalenceError: the pruned network is not equivalent to the dense one without the removed units.
    """
    limits = Budget.parse(budget)
    model = unwrap(model)
    graph.check_optimizer(optimizer, model, copy=copy)
    given = None if data is None else Samples(data, loss, samples, seed)
    ways = candidates.combinations(
        criterion=_name(criterion),
        select=_name(select),
        aligns=(PREFERRED_ALIGNMENT, 1) if align == "auto" else (align,),
        data=given is not None,
    )
    compared = given is not None and len(ways) > 1
    repairs = chosen_repairs(repair, data=given is not None, training=will_finetune and not compared)
    for way in ways:  # a wrong name fails before the capture
        if isinstance(criterion, str):
            criteria.create(way.criterion, data=given is not None)
        if isinstance(select, str):
            way.selection()
    units = graph.units_of(graph.capture(model, example), exclude=exclude, attention=attention)
    trial = _Trial(
        model,
        units,
        limits,
        repairs,
        criterion,
        select,
        given,
        align=align,
        min_units=min_units,
        costs=costs,
        seed=seed,
    )
    results: tuple[CandidateResult, ...] = ()
    if given is not None and compared:
        trial.samples, trial.validation = held_out(given, validation)
        results = candidates.compare(ways, trial)
        ways = tuple(result.candidate for result in results if result.chosen)
    plan, removed = trial.choose(ways[0])
    mending = None if given is None else Repair(repairs, units, removed, given, seed=seed)
    rewritten, equivalence = graph.shrink(model, units, removed, verify=verify, copy=copy, optimizer=optimizer)
    if mending is not None:
        mending.apply(rewritten)
    return Pruned(
        rewritten.model, plan, plan.before, plan.after, equivalence, units.frozen, rewritten.form, repairs, results
    )


@dataclass
class _Trial:
    """Makes the candidates of one call of ``prune``; see ``candidates.Trial``.

    Attributes:
        samples: To score units, choose and repair with.
        validation: To score networks on; None where there is nothing to compare.
    """

    model: nn.Module
    units: Units
    budget: Budget
    repairs: tuple[str, ...]
    criterion: str | Criterion
    select: str | Selection
    samples: Samples | None
    validation: Samples | None = None
    align: int | Literal["auto"] = 1
    min_units: float | None = None
    costs: Mapping[str, CostModel] | None = None
    seed: int = 0
    _scores: dict[str, Tensor] = field(default_factory=dict, init=False)
    _chosen: dict[Candidate, tuple[Plan, Tensor]] = field(default_factory=dict, init=False)

    def choose(self, candidate: Candidate) -> tuple[Plan, Tensor]:
        """The plan of ``candidate`` and the mask of the units it removes, (units,), made once."""
        if candidate not in self._chosen:
            criterion = self.criterion
            if isinstance(criterion, str):
                criterion = criteria.create(candidate.criterion, data=self.samples is not None)
            if candidate.criterion not in self._scores:
                network = Network(self.model, self.units, self.seed, self.samples)
                self._scores[candidate.criterion] = score(criterion, network, self.repairs)
            self._chosen[candidate] = choose(
                self.model,
                self.units,
                self._scores[candidate.criterion],
                self.budget,
                criterion=criterion,
                selection=candidate.selection() if isinstance(self.select, str) else self.select,
                constraints=self._constraints(candidate),
                samples=self.samples,
                costs=self.costs,
                seed=self.seed,
            )
        return self._chosen[candidate]

    def _constraints(self, candidate: Candidate) -> Sequence[Constraint]:
        if self.align == "auto":
            return selections.prefer_alignment(
                self.units, selections.resolve(self.units, min_units=self.min_units), candidate.align
            )
        return selections.resolve(self.units, min_units=self.min_units, align=self.align)

    def plan(self, candidate: Candidate) -> tuple[float, Tensor]:
        plan, removed = self.choose(candidate)
        return plan.after.macs / max(plan.before.macs, 1), removed

    def build(self, removed: Tensor) -> Rewritten:
        assert self.samples is not None, "there are samples to compare on"
        rewritten = rewrite(self.model, self.units, removed)
        Repair(self.repairs, self.units, removed, self.samples, seed=self.seed).apply(rewritten)
        return rewritten

    def score(self, model: nn.Module) -> Score:
        assert self.validation is not None, "there are samples to compare on"
        return candidates.score(model, self.validation)

    def train(self, number: int, rewritten: Rewritten) -> bool:
        return False  # the caller of prune trains


def _name(kind: str | Criterion | Selection) -> str:
    return kind if isinstance(kind, str) else kind.name


def score(criterion: Criterion, network: Network, repairs: Sequence[str] = ()) -> Tensor:
    """Scores of all units, (units,); 0 for constant ones where ``repairs`` makes up for them."""
    scores = criteria.score(criterion, network)
    if "constants" in repairs:
        scores = scores.masked_fill(constant_units(network.units, network.data), 0.0)
    return scores


def choose(
    model: nn.Module,
    units: Units,
    scores: Tensor,
    budget: Budget,
    *,
    criterion: Criterion,
    selection: Selection,
    constraints: Sequence[Constraint] = (),
    samples: Samples | None = None,
    costs: Mapping[str, CostModel] | None = None,
    seed: int = 0,
    progress: Progress = SILENT,
) -> tuple[Plan, Tensor]:
    """``make_plan``, with the curves that ``selection`` may need measured on ``samples``.

    Raises:
        InputError: the selection needs data, and there is none.
        BudgetError: the budget cannot be reached; names the closest value.
    """
    curves: tuple[Curve, ...] = ()
    if selection.needs_curves:
        if samples is None:
            raise InputError(f"select: {selection.name} measures the network and needs data; give data=...")
        curves = measure_sensitivity(units, scores, samples, progress=progress).curves(units)
    return make_plan(
        model,
        units,
        scores,
        budget,
        origin={"criterion": criterion.name, "seed": seed},
        select=selection,
        constraints=constraints,
        curves=curves,
        costs=costs,
        additive=criterion.additive,
    )
