"""Every selection keeps budgets and constraints, and chooses alike where it should."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from edgeprune.cost import CostModel, cost_model, cost_of
from edgeprune.errors import BudgetError
from edgeprune.graph import Group, capture, units_of
from edgeprune.selection import Constraint, LossCurve, Problem, create, registered, resolve
from tests.example_count import example_count
from tests.networks.collection import shared

_COSTS = ("macs", "params", "peak_activation_bytes", "flash_bytes")
_network = st.sampled_from(
    ["u-net", "zero-padded-residual", "concat-into-grouped", "split-and-shuffle", "fused-projection", "lstm"]
)
_share = st.floats(0.0, 1.0)
_seed = st.integers(0, 99)
_every_selection = pytest.mark.parametrize("name", registered())
_few = example_count(12)


@cache
def _cost(network: str, name: str) -> CostModel:
    model, _, units = shared(network)
    return cost_model(name, units, model)


def _problem(
    network: str,
    shares: Mapping[str, float],
    *,
    seed: int = 0,
    constraints: tuple[Constraint, ...] = (),
    scores: Tensor | None = None,
) -> Problem:
    """Limits lie between the least that each cost can reach, at 0, and dense, at 1."""
    units = shared(network)[2]
    if scores is None:
        scores = torch.rand(len(units), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    costs = {name: _cost(network, name) for name in shares}
    with pytest.raises(BudgetError) as caught:
        create("uniform").choose(Problem(units, scores, costs, dict.fromkeys(shares, 1.0), constraints))
    least = caught.value.nearest
    limits = {name: least[name] + share * (costs[name].total() - least[name]) for name, share in shares.items()}
    curves = tuple(_curve(group, seed) for group in units.groups)
    return Problem(units, scores, costs, limits, constraints, curves)


def _curve(group: Group, seed: int) -> LossCurve:
    """A loss that rises the faster the less stays, for each group as steep as it likes."""
    remaining = sorted({1, (len(group) + 1) // 2, len(group)})
    steepness = 2 + math.sin(seed + group.start)
    return LossCurve(tuple(remaining), tuple(steepness * (1 - count / len(group)) ** 2 for count in remaining))


def _choose(name: str, problem: Problem) -> Tensor:
    return create(name).choose(problem)


def _total(problem: Problem, cost: str, removed: Tensor) -> float:
    remaining = problem.costs[cost].copy()
    remaining.remove(removed)
    return remaining.total()


def _kept(problem: Problem, removed: Tensor) -> list[int]:
    return [len(group) - int(removed[group.start : group.stop].sum()) for group in problem.units.groups]


@pytest.mark.long
@_every_selection
@_few
@given(network=_network, shares=st.dictionaries(st.sampled_from(_COSTS), _share, min_size=1), seed=_seed)
def test_budgets_hold_and_no_dimension_becomes_empty(
    name: str, network: str, shares: dict[str, float], seed: int
) -> None:
    problem = _problem(network, shares, seed=seed)
    before = {cost: model.total() for cost, model in problem.costs.items()}
    removed = _choose(name, problem)
    assert removed.shape == (len(problem.units),)
    assert removed.dtype == torch.bool
    assert not bool((removed & ~problem.units.prunable).any())
    for floor in problem.units.floors:
        assert not bool(removed[floor].all())
    counted = cost_of(problem.units, shared(network)[0], removed)
    for cost, limit in problem.limits.items():
        assert getattr(counted, cost) <= limit
    assert {cost: model.total() for cost, model in problem.costs.items()} == before


@pytest.mark.long
@_every_selection
@_few
@given(
    network=_network,
    cost=st.sampled_from(_COSTS),
    shares=st.tuples(_share, _share),
    seed=_seed,
    align=st.sampled_from([1, 4]),
)
def test_a_smaller_budget_never_costs_more(
    name: str, network: str, cost: str, shares: tuple[float, float], seed: int, align: int
) -> None:
    constraints = resolve(shared(network)[2], align=align)
    less, more = (
        _total(problem, cost, _choose(name, problem))
        for problem in (
            _problem(network, {cost: share}, seed=seed, constraints=constraints) for share in sorted(shares)
        )
    )
    assert less <= more


@_every_selection
@_few
@given(
    network=_network,
    cost=st.sampled_from(_COSTS),
    share=_share,
    seed=_seed,
    align=st.sampled_from([1, 2, 4]),
    min_units=st.floats(0.1, 0.5),
    max_units=st.floats(0.6, 1.0),
)
def test_alignment_floors_and_ceilings_hold(
    name: str, network: str, cost: str, share: float, seed: int, align: int, min_units: float, max_units: float
) -> None:
    units = shared(network)[2]
    constraints = tuple(
        Constraint(
            max(1, int(min_units * len(group))), len(group) if align > 1 else max(1, int(max_units * len(group))), align
        )
        for group in units.groups
    )
    problem = _problem(network, {cost: share}, seed=seed, constraints=constraints)
    for group, constraint, index in zip(units.groups, constraints, _kept(problem, _choose(name, problem)), strict=True):
        if group.frozen is not None:
            assert index == len(group)
            continue
        assert constraint.min_units <= index <= (constraint.max_units or len(group))
        for item in group.producers:
            assert index == len(group) or (index * item.per_unit) % align == 0


@pytest.mark.long
@_every_selection
@_few
@given(network=_network, share=_share, seed=_seed, factor=st.floats(1e-6, 1e6))
def test_scaled_scores_give_the_same_selection(name: str, network: str, share: float, seed: int, factor: float) -> None:
    problem = _problem(network, {"macs": share}, seed=seed)
    first = _choose(name, problem)
    assert torch.equal(first, _choose(name, problem))
    scaled = _problem(network, {"macs": share}, seed=seed, scores=factor * problem.scores)
    assert torch.equal(first, _choose(name, scaled))


@pytest.mark.long
@_every_selection
@_few
@given(share=_share, seed=_seed)
def test_the_order_of_channels_does_not_matter(name: str, share: float, seed: int) -> None:
    problem = _problem("u-net", {"macs": share}, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    order = torch.cat([group.start + torch.randperm(len(group), generator=generator) for group in problem.units.groups])
    shuffled = _problem("u-net", {"macs": share}, seed=seed, scores=problem.scores[order])
    assert torch.equal(_choose(name, problem)[order], _choose(name, shuffled))


@_every_selection
def test_units_with_score_zero_are_removed_first(name: str) -> None:
    _, _, units = shared("u-net")
    scores = torch.ones(len(units), dtype=torch.float64)
    for group in units.groups:
        scores[group.start + 1 : group.start + 1 + len(group) // 4] = 0.0
    removed = _choose(name, _problem("u-net", {"macs": 0.4}, scores=scores))
    for group in units.groups:
        own = slice(group.start, group.stop)
        if bool(removed[own].any()):
            free = scores[own] == 0
            assert bool(removed[own][free].all()) or not bool(removed[own][~free].any())


@pytest.mark.long
@_every_selection
@pytest.mark.parametrize("align", [1, 4, 8])
def test_large_blocks_use_up_the_budget(name: str, align: int) -> None:
    widths = [3, 32, 48, 64, 64, 96, 64, 48, 32, 5]
    model = nn.Sequential(*(nn.Conv2d(*pair, 3, padding=1) for pair in pairwise(widths))).eval()
    units = units_of(capture(model, (torch.randn(2, 3, 8, 8),)))
    scores = torch.rand(len(units), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    cost = cost_model("macs", units, model)
    curves = tuple(_curve(group, 1) for group in units.groups)
    for share in (0.3, 0.5, 0.7):
        limits = {"macs": share * cost.total()}
        problem = Problem(units, scores, {"macs": cost}, limits, resolve(units, align=align), curves)
        assert 0.97 * limits["macs"] <= _total(problem, "macs", _choose(name, problem)) <= limits["macs"]
