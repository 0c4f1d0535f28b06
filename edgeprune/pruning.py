"""``prune``: capture, score, select, rewrite and prove in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from edgeprune import graph
from edgeprune.config import Budget
from edgeprune.cost import Cost
from edgeprune.criteria import Network, create
from edgeprune.graph import Proof
from edgeprune.select import Plan, make_plan


@dataclass(frozen=True)
class Pruned:
    """What ``prune`` gives.

    ``model`` is ready to train, save and export. ``form`` is ``module`` where it is the user's own module with sliced
    weights, ``captured`` where the forward has sizes written down and the captured program stands in.
    """

    model: nn.Module
    plan: Plan
    before: Cost
    after: Cost
    proof: Proof | None
    frozen: list[tuple[str, str]]
    form: str


def prune(
    model: nn.Module,
    example: graph.Example,
    *,
    budget: Budget | Mapping[str, float],
    criterion: str = "auto",
    exclude: Sequence[str] = (),
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
        criterion: name of the importance score, see ``edgeprune criteria``.
        exclude: globs over layer names that must stay whole (``["head*"]``).
        attention: ``heads`` removes whole heads, ``head_dim`` the same positions in each.
        prove: check by numbers that nothing else changed.
        copy: leave ``model`` as it is; False slices its tensors in place.
        optimizer: the one that trains ``model``, with ``copy=False``: momentum and moments are sliced along with the
            parameters, so that training goes on with ``model`` of what this returns.
        seed: for criteria that draw.

    Raises:
        InputError: the state of the optimiser cannot follow.
        ModelError, CaptureError: the network cannot be captured.
        BudgetError: the budget cannot be reached; names the closest value.
        ProofError: the pruned network computes something else than the dense one without the removed units.
    """
    limits = Budget.parse(budget)
    graph.check_optimizer(optimizer, model, copy=copy)
    units = graph.units_of(graph.capture(model, example), exclude=exclude, attention=attention)
    scores = create(criterion).score(Network(model, units, seed))
    plan, removed = make_plan(model, units, scores, limits, origin={"criterion": criterion, "seed": seed})
    rewritten, proof = graph.shrink(model, units, removed, prove=prove, copy=copy, optimizer=optimizer)
    return Pruned(rewritten.model, plan, plan.before, plan.after, proof, units.frozen, rewritten.form)
