"""``prune``: capture, score, select, rewrite, prove and repair in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeprune import criteria, graph
from edgeprune import select as selections
from edgeprune.config import Budget
from edgeprune.cost import Cost, CostModel
from edgeprune.criteria import Criterion, Network
from edgeprune.errors import InputError
from edgeprune.graph import Proof, Units
from edgeprune.progress import SILENT, Progress
from edgeprune.repair import Repair, chosen_repairs, constant_units
from edgeprune.select import Constraint, Curve, Plan, Selection, make_plan
from edgeprune.select.measuring import measure_sensitivity
from edgeprune.statistics import Loss, Samples


@dataclass(frozen=True)
class Pruned:
    """What ``prune`` gives.

    ``model`` is ready to train, save and export. ``form`` is ``module`` where it is the user's own module with sliced
    weights, ``captured`` where the forward has sizes written down and the captured program stands in. ``repaired``
    names the repairs that were made; the proof is of the network before them.
    """

    model: nn.Module
    plan: Plan
    before: Cost
    after: Cost
    proof: Proof | None
    frozen: list[tuple[str, str]]
    form: str
    repaired: tuple[str, ...] = ()


def prune(
    model: nn.Module,
    example: graph.Example,
    *,
    budget: Budget | Mapping[str, Any],
    criterion: str | Criterion = "auto",
    data: Iterable[Any] | None = None,
    loss: Loss = functional.cross_entropy,
    samples: int = 1024,
    select: str | Selection = "global",
    costs: Mapping[str, CostModel] | None = None,
    repair: str | Sequence[str] | None = "auto",
    finetune: bool = False,
    exclude: Sequence[str] = (),
    floor: float | None = None,
    align: int = 1,
    attention: str = "heads",
    prove: bool = True,
    copy: bool = True,
    optimizer: torch.optim.Optimizer | None = None,
    seed: int = 0,
) -> Pruned:
    """Remove the filters that contribute the least for what they cost, until the budget holds.

    Args:
        model: any network that ``torch.export`` captures; evaluation mode is used, its own mode is kept.
        example: inputs, as a tuple of tensors or a mapping of keyword arguments.
        budget: upper limits: ``{"macs": 0.5}`` is half of dense, ``{"params": 250_000}`` is absolute.
        criterion: name of the importance score, see ``edgeprune criteria``, or one made by hand; ``auto`` is the best
            one measured, given ``data`` and ``finetune``.
        data: batches of (input, label), read several times: a DataLoader, or a list. An input is a tensor, a tuple or
            a dict of inputs.
        loss: ``loss(outputs, labels)`` of a batch, its mean.
        samples: to read of ``data`` at most.
        select: name of the selection, see ``edgeprune.select``, or one made by hand.
        costs: models of costs that need more than the network: ``{"latency_ms": cost_model("latency_ms", ...)}``.
        repair: what makes up for the removed units, see ``edgeprune.repair.REPAIRS``; ``auto`` is the best measured one
            where there is data, None slices weights alone.
        finetune: whether training follows: ``auto`` scores and repairs otherwise then.
        exclude: globs over layer names that must stay whole (``["head*"]``).
        floor: least that stays of each group, a share in (0, 1] or a number of units above 1.
        align: what stays of each group is a multiple of so many channels, or all.
        attention: ``heads`` removes whole heads, ``head_dim`` the same positions in each.
        prove: check by numbers that nothing else changed.
        copy: leave ``model`` as it is; False slices its tensors in place.
        optimizer: the one that trains ``model``, with ``copy=False``: momentum and moments are sliced along with the
            parameters, so that training goes on with ``model`` of what this returns.
        seed: for what is drawn.

    Raises:
        InputError: an unknown criterion, selection or repair, or one that lacks data; data that does not fit; the state
            of the optimiser cannot follow.
        ModelError, CaptureError: the network cannot be captured.
        BudgetError: the budget cannot be reached; names the closest value.
        ProofError: the pruned network computes something else than the dense one without the removed units.
    """
    limits = Budget.parse(budget)
    graph.check_optimizer(optimizer, model, copy=copy)
    given = None if data is None else Samples(data, loss, samples, seed)
    repairs = chosen_repairs(repair, data=given is not None, training=finetune)
    known = given is not None
    scorer = (
        criterion if isinstance(criterion, Criterion) else criteria.create(criterion, data=known, training=finetune)
    )
    selection = selections.create(select) if isinstance(select, str) else select
    units = graph.units_of(graph.capture(model, example), exclude=exclude, attention=attention)
    scores = score(scorer, Network(model, units, seed, given), repairs)
    plan, removed = choose(
        model,
        units,
        scores,
        limits,
        criterion=scorer,
        selection=selection,
        constraints=selections.resolve(units, floor=floor, align=align),
        samples=given,
        costs=costs,
        seed=seed,
    )
    mending = None if given is None else Repair(repairs, units, removed, given, seed=seed)
    rewritten, proof = graph.shrink(model, units, removed, prove=prove, copy=copy, optimizer=optimizer)
    if mending is not None:
        mending.apply(rewritten)
    return Pruned(rewritten.model, plan, plan.before, plan.after, proof, units.frozen, rewritten.form, repairs)


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
