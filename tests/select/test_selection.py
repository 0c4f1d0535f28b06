"""Budgets are kept, and used up."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune import Budget, prune
from edgeprune.cost import cost_model, cost_of
from edgeprune.errors import BudgetError
from edgeprune.graph import Units, capture, units_of
from edgeprune.select import make_plan, select_global
from tests.networks.collection import make

_NETWORK, _EXAMPLE = make("u-net")
_UNITS = units_of(capture(_NETWORK, _EXAMPLE))


def _choose(share: float, seed: int, **options: float) -> tuple[torch.Tensor, int, int]:
    scores = torch.rand(len(_UNITS), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    limit = int(share * cost_of(_UNITS, _NETWORK).macs)
    costs = {"macs": cost_model("macs", _UNITS, _NETWORK)}
    removed = select_global(_UNITS, scores, costs, {"macs": limit}, **options)
    return removed, cost_of(_UNITS, _NETWORK, removed).macs, limit


@settings(max_examples=25, deadline=None)
@given(
    share=st.floats(0.15, 0.99),
    seed=st.integers(0, 99),
    alpha=st.sampled_from([0.0, 0.5, 1.0]),
    balance=st.sampled_from([0.0, 1.0]),
)
def test_a_budget_is_kept_and_no_unit_that_fits_is_left_out(
    share: float, seed: int, alpha: float, balance: float
) -> None:
    removed, macs, limit = _choose(share, seed, alpha=alpha, balance=balance)
    assert macs <= limit
    assert not bool((removed & ~_UNITS.prunable).any())
    for unit in removed.nonzero().flatten():
        without = removed.clone()
        without[unit] = False
        assert cost_of(_UNITS, _NETWORK, without).macs > limit


@settings(max_examples=15, deadline=None)
@given(share=st.floats(0.15, 0.9), seed=st.integers(0, 99))
def test_every_dimension_keeps_an_index(share: float, seed: int) -> None:
    removed, _, _ = _choose(share, seed)
    for floor in _UNITS.floors:
        assert not bool(removed[floor].all())


def test_the_same_scores_give_the_same_plan() -> None:
    assert torch.equal(_choose(0.5, 3)[0], _choose(0.5, 3)[0])


def test_no_group_drains() -> None:
    """With equal scores every group keeps its share, whatever its units cost."""
    scores = torch.ones(len(_UNITS), dtype=torch.float64)
    limit = 0.4 * cost_of(_UNITS, _NETWORK).macs
    costs = {"macs": cost_model("macs", _UNITS, _NETWORK)}
    removed = select_global(_UNITS, scores, costs, {"macs": limit})
    for group in _UNITS.groups:
        if group.frozen is None:
            assert int(removed[group.start : group.stop].sum()) < 0.9 * len(group), group.name


def test_several_budgets_hold_at_once() -> None:
    pruned = prune(_NETWORK, _EXAMPLE, budget={"macs": 0.6, "params": 0.4}, criterion="random")
    assert pruned.after.macs <= 0.6 * pruned.before.macs
    assert pruned.after.params <= 0.4 * pruned.before.params


def test_a_budget_out_of_reach_names_what_can_be_reached() -> None:
    with pytest.raises(BudgetError, match=r"cannot be reached, the closest is [\d,]+") as caught:
        prune(_NETWORK, _EXAMPLE, budget={"macs": 1e-4}, criterion="l2")
    nearest = int(caught.value.nearest["macs"])
    assert prune(_NETWORK, _EXAMPLE, budget={"macs": nearest}, criterion="l2").after.macs == nearest


def test_the_plan_says_where_it_comes_from() -> None:
    scores = torch.ones(len(_UNITS), dtype=torch.float64)
    plan, removed = make_plan(_NETWORK, _UNITS, scores, Budget(macs=0.5), origin={"criterion": "mine"})
    assert plan.origin == {"criterion": "mine", "budget": {"macs": 0.5}}
    assert torch.equal(plan.removed(_UNITS), removed)
    assert isinstance(_UNITS, Units)
