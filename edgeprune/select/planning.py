"""From scores and a budget to a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from edgeprune.config import Budget
from edgeprune.cost import CostModel, cost_model, cost_of
from edgeprune.graph import Units
from edgeprune.select.base import Curve, Problem, Selection, create
from edgeprune.select.constraints import Constraint
from edgeprune.select.plan import Plan


def make_plan(
    model: nn.Module,
    units: Units,
    scores: Tensor,
    budget: Budget,
    *,
    origin: Mapping[str, Any],
    select: Selection | str = "global",
    constraints: Sequence[Constraint] = (),
    curves: Sequence[Curve] = (),
    costs: Mapping[str, CostModel] | None = None,
    additive: bool = False,
) -> tuple[Plan, Tensor]:
    """The plan for dense ``model`` to keep within ``budget``, and the mask of the units that go, (units,).

    Args:
        model: dense.
        units: of the network.
        scores: importance, (units,).
        budget: upper limits.
        origin: how ``scores`` came to be; written into the plan, beside the budget, the selection and the alignment.
        select: what chooses, or its name.
        constraints: for each group what may be left of it, see ``resolve``; () where anything may.
        curves: for each group what was measured to be lost, for a selection that needs it.
        costs: models of costs that need more than the network, such as a latency table, by name.
        additive: the scores are changes of the loss, see ``Problem``.

    Raises:
        BudgetError: the budget cannot be reached; names the closest value.
        InputError: there is no such selection, it lacks what it needs, or a constraint cannot be kept.
    """
    selection = create(select) if isinstance(select, str) else select
    named = budget.model_dump(exclude_none=True)
    models = {name: (costs or {}).get(name) or cost_model(name, units, model) for name in named}
    limits = budget.limits({name: cost.total() for name, cost in models.items()})
    removed = selection.choose(Problem(units, scores, models, limits, tuple(constraints), tuple(curves), additive))
    plan = Plan.of(
        model,
        units.kept(removed),
        before=cost_of(units, model),
        after=cost_of(units, model, removed),
        exclude=units.coordinates.exclude,
        attention=units.coordinates.coupling.attention,
        origin={
            **origin,
            "budget": named,
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
