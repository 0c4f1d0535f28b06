"""``prune``: capture, score, select, rewrite, verify and repair in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from edgeprune import candidates, criteria, graph
from edgeprune import selection as selections
from edgeprune.candidates import Candidate, CandidateResult, Score
from edgeprune.config import Budget
from edgeprune.cost import Cost
from edgeprune.criteria import Criterion, Network
from edgeprune.errors import InputError
from edgeprune.graph import Equivalence, RewrittenModel, Units
from edgeprune.graph.rewrite import rewrite
from edgeprune.model.module_wrappers import unwrap
from edgeprune.progress import SILENT, Progress
from edgeprune.prune_options import PruneOptions
from edgeprune.repair import Repair, chosen_repairs, constant_units
from edgeprune.selection import Constraint, LossCurve, Plan, PlanMethod, Selection, make_plan
from edgeprune.selection.sensitivity_scan import measure_sensitivity
from edgeprune.statistics import Samples
from edgeprune.statistics.held_out import held_out

PREFERRED_ALIGNMENT = 8
"""Channels that most runtimes prefer multiples of: two vectors of four floats."""


@dataclass(frozen=True)
class PruneResult:
    """Result of ``prune``.

    Attributes:
        model: The pruned network, ready to train, save and export.
        plan: Removed units.
        before: Costs of the dense network.
        after: Costs of ``model``.
        equivalence: Result of the equivalence check, made before repair; None without one.
        frozen: Groups that cannot be pruned, with the reason.
        form: ``module`` for the user's own module with sliced weights; ``captured`` for the captured program, which is
            used if the forward has hard-coded sizes.
        repaired: Names of the applied repairs.
        candidates: Results of the compared candidates, see ``prune``; () if there was only one candidate.
        states: New shapes of inputs that shrink, by name: initial states of recurrent layers whose final states are
            outputs. These outputs shrink alike.
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
    states: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        checked = "not checked" if self.equivalence is None else "checked"
        return (
            f"PruneResult({type(self.model).__name__}, MACs {self.before.macs:,} -> {self.after.macs:,}, parameters "
            f"{self.before.params:,} -> {self.after.params:,}, {checked}, {len(self.frozen)} groups frozen)"
        )


def prune(
    model: nn.Module,
    example: graph.Example,
    *,
    budget: Budget | Mapping[str, Any],
    data: Iterable[Any] | None = None,
    validation: Iterable[Any] | None = None,
    options: PruneOptions | Mapping[str, Any] | None = None,
    will_finetune: bool = False,
    copy: bool = True,
    optimizer: torch.optim.Optimizer | None = None,
) -> PruneResult:
    """Remove the units with the lowest importance for their cost, until the network is within ``budget``:

        pruned = prune(model, (x,), budget={"macs": 0.5}, data=loader)
        pruned = prune(model, (x,), budget={"macs": 0.5}, data=loader, options={"criterion": "fisher"})

    With ``data``, several values are compared for each of ``criterion``, ``selection`` and ``align`` that is ``auto``:
    every combination makes a plan, is repaired and scored by its loss on validation batches, and the best is used; see
    docs/selection.md. Without ``data``, ``auto`` means ``l2``, ``global`` and any number of channels.

    Args:
        model: Network that ``torch.export`` can capture. It is captured in evaluation mode; its mode is preserved. For
            a parallel, averaged or compiled module, the module inside is pruned and returned.
        example: Inputs, as a tuple of tensors or a mapping of keyword arguments.
        budget: Upper limits by cost: ``{"macs": 0.5}`` is half of the dense network's MACs, ``{"params": 250_000}`` an
            absolute number.
        data: Batches of (input, label), which are read several times: a DataLoader, or a list. An input is a tensor, a
            tuple or a dict of inputs.
        validation: Batches to compare candidates on. None: every fourth batch of ``data`` is held out, and used only to
            repair the chosen network. If ``data`` has a single batch, it is used for both.
        options: Options, or a mapping of them. Defaults to ``PruneOptions()``.
        will_finetune: Whether the caller trains the network afterwards, which changes what ``repair="auto"`` means;
            ``prune`` itself does not train.
        copy: Whether to leave ``model`` unchanged; if False, its tensors are sliced in place.
        optimizer: Optimizer of ``model``, with ``copy=False``. Its state is sliced with the parameters, so that
            training continues with ``model`` of the result.

    Raises:
        InputError: An option is not valid, the criterion, selection or repair needs data, the data does not fit, or the
            optimizer state cannot be sliced.
        ModelError, CaptureError: The network cannot be captured.
        BudgetError: The budget cannot be reached; the message names the closest value.
        EquivalenceError: The pruned network is not equivalent to the dense one without the removed units.
    """
    limits = Budget.parse(budget)
    options = PruneOptions.parse(options)
    model = unwrap(model)
    graph.check_optimizer(optimizer, model, copy=copy)
    samples = options.read_samples(data)
    choices = _candidates(options, data=samples is not None)
    compared = samples is not None and len(choices) > 1
    repairs = chosen_repairs(options.repair, data=samples is not None, training=will_finetune and not compared)
    for choice in choices:  # a wrong name fails before the capture
        options.create_criterion(choice.criterion, data=samples is not None)
        _selection(options, choice)
    units = graph.units_of(graph.capture(model, example), exclude=options.exclude, attention=options.attention)
    trial = _Trial(model, units, limits, options, repairs, samples)
    results: tuple[CandidateResult, ...] = ()
    if samples is not None and compared:
        trial.samples, trial.validation = held_out(samples, validation)
        results = candidates.compare(choices, trial)
        choices = tuple(result.candidate for result in results if result.chosen)
    plan, removed = trial.choose(choices[0])
    repair = None if samples is None else Repair(repairs, units, removed, samples, seed=options.seed)
    rewritten, equivalence = graph.shrink(model, units, removed, verify=options.verify, copy=copy, optimizer=optimizer)
    if repair is not None:
        repair.apply(rewritten)
    return PruneResult(
        rewritten.model,
        plan,
        before=plan.before,
        after=plan.after,
        equivalence=equivalence,
        frozen=units.frozen,
        form=rewritten.form,
        repaired=repairs,
        candidates=results,
        states=graph.state_shapes(units, removed),
    )


def _candidates(options: PruneOptions, *, data: bool) -> tuple[Candidate, ...]:
    """Return the candidates to compare. Options of a criterion or a selection fix the one that ``auto`` means."""
    criterion, selection = (
        value if isinstance(value, str) else value.name for value in (options.criterion, options.selection)
    )
    if criterion == "auto" and options.criterion_options:
        criterion = options.create_criterion(data=data).name
    return candidates.combinations(
        criterion=criterion,
        selection="global" if selection == "auto" and options.selection_options else selection,
        aligns=(PREFERRED_ALIGNMENT, 1) if options.align == "auto" else (options.align,),
        data=data,
    )


def _selection(options: PruneOptions, candidate: Candidate) -> Selection:
    if isinstance(options.selection, Selection):
        return options.selection
    return candidate.create_selection(options.selection_options)


@dataclass
class _Trial:
    """Candidates of one call of ``prune``; see ``candidates.Trial``.

    Attributes:
        samples: Samples for scores, sensitivity curves and repair.
        validation: Samples that candidates are compared on; None if there is nothing to compare.
    """

    model: nn.Module
    units: Units
    budget: Budget
    options: PruneOptions
    repairs: tuple[str, ...]
    samples: Samples | None
    validation: Samples | None = None
    _scores: dict[str, Tensor] = field(default_factory=dict, init=False)
    _chosen: dict[Candidate, tuple[Plan, Tensor]] = field(default_factory=dict, init=False)

    def choose(self, candidate: Candidate) -> tuple[Plan, Tensor]:
        """Return the plan of ``candidate`` and the mask of the units to remove, (units,); computed once."""
        if candidate not in self._chosen:
            options = self.options
            criterion = options.create_criterion(candidate.criterion, data=self.samples is not None)
            if candidate.criterion not in self._scores:
                network = Network(self.model, self.units, options.seed, self.samples)
                self._scores[candidate.criterion] = score(criterion, network, self.repairs)
            self._chosen[candidate] = choose(
                self.model,
                self.units,
                self._scores[candidate.criterion],
                self.budget,
                PlanMethod(
                    criterion=criterion,
                    selection=_selection(options, candidate),
                    constraints=self._constraints(candidate),
                    costs=options.costs,
                    seed=options.seed,
                ),
                samples=self.samples,
            )
        return self._chosen[candidate]

    def _constraints(self, candidate: Candidate) -> Sequence[Constraint]:
        options = self.options
        align = 1 if options.align == "auto" else options.align
        constraints = selections.resolve(self.units, min_units=options.min_units, align=align, layers=options.layers)
        if options.align != "auto":
            return constraints
        return selections.prefer_alignment(self.units, constraints, candidate.align)

    def plan(self, candidate: Candidate) -> tuple[float, Tensor]:
        plan, removed = self.choose(candidate)
        return plan.after.macs / max(plan.before.macs, 1), removed

    def build(self, removed: Tensor) -> RewrittenModel:
        assert self.samples is not None, "there are samples to compare on"
        rewritten = rewrite(self.model, self.units, removed)
        Repair(self.repairs, self.units, removed, self.samples, seed=self.options.seed).apply(rewritten)
        return rewritten

    def score(self, model: nn.Module) -> Score:
        assert self.validation is not None, "there are samples to compare on"
        return candidates.score(model, self.validation)

    def train(self, number: int, rewritten: RewrittenModel) -> bool:
        return False  # the caller of prune trains


def score(criterion: Criterion, network: Network, repairs: Sequence[str] = ()) -> Tensor:
    """Return the scores of all units, (units,); constant units score 0 if ``repairs`` includes ``constants``."""
    scores = criteria.score(criterion, network)
    if "constants" in repairs:
        scores = scores.masked_fill(constant_units(network.units, network.data), 0.0)
    return scores


def choose(
    model: nn.Module,
    units: Units,
    scores: Tensor,
    budget: Budget,
    method: PlanMethod,
    *,
    samples: Samples | None = None,
    progress: Progress = SILENT,
) -> tuple[Plan, Tensor]:
    """Choose the units to remove with ``make_plan``, and measure the curves that the selection needs on ``samples``.

    Raises:
        InputError: The selection needs data, and there is none.
        BudgetError: The budget cannot be reached; the message names the closest value.
    """
    curves: tuple[LossCurve, ...] = ()
    if method.selection.needs_curves:
        if samples is None:
            raise InputError(f"selection: {method.selection.name} measures the network and needs data: pass data=...")
        curves = measure_sensitivity(units, scores, samples, progress=progress).curves(units)
    return make_plan(model, units, scores, budget, method, curves=curves)
