"""From scores and a budget to a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from edgeprune.config import Budget
from edgeprune.cost import cost_model, cost_of
from edgeprune.graph import Units
from edgeprune.select.greedy import select_global
from edgeprune.select.plan import Plan


def make_plan(
    model: nn.Module, units: Units, scores: Tensor, budget: Budget, *, origin: Mapping[str, Any]
) -> tuple[Plan, Tensor]:
    """The plan for dense ``model`` to keep within ``budget``, and the mask of the units that go, (units,).

    ``origin`` is written into the plan, beside the budget: how ``scores`` came to be.

    Raises:
        BudgetError: the budget cannot be reached; names the closest value.
    """
    before = cost_of(units, model)
    limits = budget.limits({"macs": before.macs, "params": before.params})
    costs = {name: cost_model(name, units, model) for name in limits}
    removed = select_global(units, scores, costs, limits)
    plan = Plan.of(
        model,
        units.kept(removed),
        before=before,
        after=cost_of(units, model, removed),
        exclude=units.coordinates.exclude,
        attention=units.coordinates.coupling.attention,
        origin={**origin, "budget": budget.model_dump(exclude_none=True)},
    )
    return plan, removed
