"""Computation of a pruning plan from scores and a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor, nn

from edgeprune.config import Budget
from edgeprune.cost import CostModel, cost_model, cost_of
from edgeprune.errors import ModelError
from edgeprune.graph import Units
from edgeprune.selection.base import LossCurve, Problem, Selection
from edgeprune.selection.constraints import Constraint
from edgeprune.selection.plan import Plan

if TYPE_CHECKING:
    from edgeprune.criteria import Criterion


@dataclass(frozen=True, kw_only=True)
class PlanMethod:
    """Method by which the units of a plan are chosen.

    Attributes:
        criterion: Criterion that computes the scores.
        selection: Selection that turns scores into a plan.
        constraints: Allowed numbers of remaining units of each group, see ``resolve``; () allows any number.
        costs: Cost models that need more than the network, such as a latency table, by name of the cost.
        seed: Seed of the scores, which is recorded in the plan.
    """

    criterion: Criterion
    selection: Selection
    constraints: Sequence[Constraint] = ()
    costs: Mapping[str, CostModel] = field(default_factory=dict)
    seed: int = 0


def make_plan(
    model: nn.Module,
    units: Units,
    scores: Tensor,
    budget: Budget,
    method: PlanMethod,
    *,
    curves: Sequence[LossCurve] = (),
) -> tuple[Plan, Tensor]:
    """Choose the units to remove so that the network is within ``budget``.

    Args:
        model: Dense network.
        units: Units of ``model``.
        scores: Importance of each unit, at least 0, (units,).
        budget: Upper limits by cost.
        method: Selection, constraints and cost models; recorded in the plan with the budget.
        curves: Measured loss of each group, for a selection that needs it.

    Returns:
        The plan, and the mask of the units to remove, (units,).

    Raises:
        BudgetError: The budget cannot be reached; the message names the closest value.
        InputError: An input that the selection requires is missing, or a constraint cannot be satisfied.
        ModelError: The network has no units.
    """
    if len(units) == 0:
        reasons = dict.fromkeys(reason for _, reason in units.coordinates.coupling.freezes)
        raise ModelError(f"the network has no units that can be removed: {'; '.join(reasons) or 'it has no weights'}")
    selection, constraints = method.selection, tuple(method.constraints)
    budget_by_cost = budget.model_dump(exclude_none=True)
    models = {name: method.costs.get(name) or cost_model(name, units, model) for name in budget_by_cost}
    limits = budget.limits({name: cost.total() for name, cost in models.items()})
    problem = Problem(units, scores, models, limits, constraints, tuple(curves), method.criterion.additive)
    removed = selection.choose(problem)
    plan = Plan.of(
        model,
        units.kept_indices(removed),
        before=cost_of(units, model),
        after=cost_of(units, model, removed),
        exclude=units.coordinates.exclude,
        attention=units.coordinates.coupling.attention,
        origin={
            "criterion": method.criterion.name,
            "seed": method.seed,
            "budget": budget_by_cost,
            "select": {"name": selection.name, **selection.options},
            "align": _alignment(units, constraints),
        },
    )
    return plan, removed


def _alignment(units: Units, constraints: Sequence[Constraint]) -> int | dict[str, int]:
    """Alignment of the remaining channels; by group if the groups differ."""
    aligned = {constraint.align for constraint in constraints} or {1}
    if len(aligned) == 1:
        return aligned.pop()
    return {group.name: constraint.align for group, constraint in zip(units.groups, constraints, strict=True)}
