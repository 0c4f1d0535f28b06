"""Budgets are used up, what cannot be reached is explained, and plans say how they were made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from edgeprune import Budget, criteria, prune
from edgeprune.config.prune_settings import LayerSettings
from edgeprune.cost import cost_model, cost_of
from edgeprune.errors import BudgetError, InputError
from edgeprune.graph import capture, units_of
from edgeprune.selection import (
    Constraint,
    LossCurve,
    PlanMethod,
    Problem,
    create,
    make_plan,
    prefer_alignment,
    registered,
    removable,
    resolve,
)
from edgeprune.selection.sensitivity_selection import loss_increase
from tests.example_count import example_count
from tests.networks.collection import make

_NETWORK, _EXAMPLE = make("u-net")
_UNITS = units_of(capture(_NETWORK, _EXAMPLE))
_MACS = cost_model("macs", _UNITS, _NETWORK)


def _random(seed: int) -> Tensor:
    return torch.rand(len(_UNITS), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _problem(
    share: float, scores: Tensor, constraints: Sequence[Constraint] = (), curves: Sequence[LossCurve] = ()
) -> Problem:
    limits = {"macs": share * _MACS.total()}
    return Problem(_UNITS, scores, {"macs": _MACS}, limits, tuple(constraints), tuple(curves))


@pytest.mark.long
@example_count(20)
@given(
    share=st.floats(0.15, 0.99),
    seed=st.integers(0, 99),
    alpha=st.sampled_from([0.0, 0.5, 1.0]),
    balance=st.sampled_from([0.0, 1.0]),
)
def test_no_unit_that_fits_is_left_out(share: float, seed: int, alpha: float, balance: float) -> None:
    problem = _problem(share, _random(seed))
    removed = create("global", {"alpha": alpha, "balance": balance}).choose(problem)
    for unit in removed.nonzero().flatten():
        without = removed.clone()
        without[unit] = False
        assert cost_of(_UNITS, _NETWORK, without).macs > problem.limits["macs"]


def test_no_group_becomes_empty() -> None:
    """With equal scores every group keeps its share, whatever its units cost."""
    removed = create("global").choose(_problem(0.4, torch.ones(len(_UNITS), dtype=torch.float64)))
    for group in _UNITS.groups:
        if group.frozen is None:
            assert int(removed[group.start : group.stop].sum()) < 0.9 * len(group), group.name


def test_a_preferred_alignment_leaves_narrow_groups_their_steps() -> None:
    preferred = prefer_alignment(_UNITS, [Constraint()] * len(_UNITS.groups), 16)
    for group, constraint in zip(_UNITS.groups, preferred, strict=True):
        if group.frozen is None:
            assert constraint.align in (1, 2, 4, 8, 16)
            assert constraint.align == 1 or len(constraint.allowed_counts(group)) >= 4
            assert constraint.align == 16 or len(group) < 8 * constraint.align
    own = prefer_alignment(_UNITS, [Constraint(align=3)] * len(_UNITS.groups), 16)
    assert {constraint.align for constraint in own} == {3}


def test_uniform_removes_the_same_fraction_of_every_group() -> None:
    removed = create("uniform").choose(_problem(0.4, _random(0)))
    groups = [group for group in _UNITS.groups if group.frozen is None]
    removed_indices = [int(removed[group.start : group.stop].sum()) for group in groups]
    shares = [(count - 1.5) / len(group) for count, group in zip(removed_indices, groups, strict=True)]
    most = [(count + 1.5) / len(group) for count, group in zip(removed_indices, groups, strict=True)]
    assert max(shares) <= min(most), "no share is within a block of what every group gave"
    assert sum(removed_indices) > 0


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_knapsack_keeps_more_importance_than_the_others(share: float, seed: int) -> None:
    """Its aim is the sum of scores, so no other reaches more."""
    problem = _problem(share, _random(seed) ** 3)
    remaining = {name: float(problem.scores[~create(name).choose(problem)].sum()) for name in ("global", "uniform")}
    best = float(problem.scores[~create("knapsack").choose(problem)].sum())
    assert best >= 0.995 * max(remaining.values())


def test_sensitivity_spares_the_group_that_is_measured_to_matter() -> None:
    groups = [group for group in _UNITS.groups if group.frozen is None]
    spared = groups[1]
    curves = [LossCurve((1, len(group) + 1), (100.0 if group is spared else 1.0, 0.0)) for group in _UNITS.groups]
    removed = create("sensitivity").choose(_problem(0.5, _random(0), curves=curves))
    assert not bool(removed[spared.start : spared.stop].any())


def test_loss_curves_are_interpolated_and_extrapolated() -> None:
    counts = torch.tensor([16, 12, 8, 6, 4]).numpy()
    assert loss_increase(LossCurve((8, 16), (1.0, 0.0)), counts).tolist() == pytest.approx([0.0, 0.5, 1.0, 1.25, 1.5])
    noisy = LossCurve((4, 8, 12, 16), (2.0, 0.5, 1.0, 0.0))
    assert loss_increase(noisy, counts).tolist() == pytest.approx([0.0, 1.0, 1.0, 1.25, 2.0])


@pytest.mark.parametrize(("remaining", "loss"), [((), ()), ((4, 2), (0.1, 0.0)), ((2, 4), (0.1,))])
def test_invalid_curve_is_refused(remaining: tuple[int, ...], loss: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match=r"^curve: "):
        LossCurve(remaining, loss)


def test_sensitivity_selection_without_data_is_an_error() -> None:
    with pytest.raises(InputError, match=r"'sensitivity' .*data"):
        create("sensitivity").choose(_problem(0.5, _random(0)))


@pytest.mark.long
def test_several_budgets_hold_at_once() -> None:
    pruned = prune(_NETWORK, _EXAMPLE, budget={"macs": 0.6, "params": 0.4}, options={"criterion": "random"})
    assert pruned.after.macs <= 0.6 * pruned.before.macs
    assert pruned.after.params <= 0.4 * pruned.before.params


@pytest.mark.long
def test_unreachable_budget_names_the_closest_value() -> None:
    with pytest.raises(BudgetError, match=r"budget macs: ") as caught:
        prune(_NETWORK, _EXAMPLE, budget={"macs": 1e-4}, options={"criterion": "l2"})
    nearest = int(caught.value.nearest["macs"])
    assert prune(_NETWORK, _EXAMPLE, budget={"macs": nearest}, options={"criterion": "l2"}).after.macs == nearest


@pytest.mark.parametrize("select", ["global", "knapsack", "uniform"])
def test_unreachable_budget_names_the_limiting_groups(select: str) -> None:
    lowest = {}
    for name, options in {"free": {}, "aligned": {"align": 4}, "bounded": {"min_units": 0.5}}.items():
        with pytest.raises(BudgetError) as caught:
            create(select).choose(_problem(1e-4, _random(0), resolve(_UNITS, **options)))
        lowest[name] = caught.value.nearest["macs"]
        assert "last (output of the network)" in str(caught.value)
        if name == "aligned":
            assert re.search(f"align = 4; .*macs {lowest['free']:,.0f}", str(caught.value))
        if name == "bounded":
            assert re.search(f"min_units: .*macs {lowest['free']:,.0f}", str(caught.value))
    assert lowest["free"] < min(lowest["aligned"], lowest["bounded"])
    between = (lowest["free"] + lowest["aligned"]) / 2 / _MACS.total()
    create(select).choose(_problem(between, _random(0)))
    with pytest.raises(BudgetError):
        create(select).choose(_problem(between, _random(0), resolve(_UNITS, align=4)))


def test_unreachable_budget_names_the_frozen_fraction() -> None:
    with pytest.raises(BudgetError) as caught:
        create("global").choose(_problem(1e-4, _random(0), resolve(_UNITS, align=4)))
    with pytest.raises(BudgetError) as free:
        create("global").choose(_problem(1e-4, _random(0)))
    frozen = cost_of(_UNITS, _NETWORK, removable(_UNITS)).macs
    assert caught.value.frozen == {"macs": frozen} == free.value.nearest
    assert 0 < frozen < caught.value.nearest["macs"]
    assert f"{frozen / _MACS.total():.1%}" in str(caught.value)


def test_error_names_excluded_layers() -> None:
    group = next(group for group in _UNITS.groups if group.frozen is None)
    constraints = resolve(_UNITS, layers=[LayerSettings(match=group.name, exclude=True)])
    with pytest.raises(BudgetError) as caught:
        create("global").choose(_problem(1e-4, _random(0), constraints))
    assert f"{group.name} (excluded by '{group.name}')" in str(caught.value)


def test_plan_has_its_origin() -> None:
    scores = torch.ones(len(_UNITS), dtype=torch.float64)
    method = PlanMethod(
        criterion=criteria.create("l2"), selection=create("global"), constraints=resolve(_UNITS, align=2), seed=3
    )
    plan, removed = make_plan(_NETWORK, _UNITS, scores, Budget(macs=0.5), method)
    assert plan.origin == {
        "criterion": "l2",
        "seed": 3,
        "budget": {"macs": 0.5},
        "select": {"name": "global", "alpha": 1.0, "balance": None},
        "align": 2,
    }
    assert torch.equal(plan.removed(_UNITS), removed)


def test_a_selection_is_found_by_name_or_by_class(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "from edgeprune.selection import Selection\n"
        "class Nothing(Selection):\n"
        "    name = 'nothing'\n"
        "    def choose(self, problem):\n"
        "        return torch.zeros(len(problem.units), dtype=torch.bool)\n"
    )
    assert not bool(create("mine.py:Nothing", base=tmp_path).choose(_problem(0.5, _random(0))).any())
    assert create("global", {"alpha": 1}).options == {"alpha": 1, "balance": None}
    assert set(registered()) == {"global", "knapsack", "sensitivity", "uniform"}
    with pytest.raises(InputError, match=r"'globl'.*'global'"):
        create("globl")
    with pytest.raises(InputError, match=r"'beta'.*alpha, balance"):
        create("global", {"beta": 1})
    with pytest.raises(InputError, match=r"alpha.*-1"):
        create("global", {"alpha": -1})
    with pytest.raises(InputError, match=r"torch\.nn:Linear .*edgeprune\.selection\.Selection"):
        create("torch.nn:Linear")


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (torch.ones(3), r"scores: .*\(3,\)"),
        (torch.full((len(_UNITS),), float("nan")), "scores: got nan"),
        (torch.full((len(_UNITS),), -1.0), "scores: got -1.0"),
    ],
)
def test_scores_that_cannot_be_ranked_are_refused(scores: Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _problem(0.5, scores)
