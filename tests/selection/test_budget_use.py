"""At least 97 % of the tightest budget is used wherever the numbers of units that may stay allow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise, product

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn

from edgeprune import criteria
from edgeprune.config import Recipe
from edgeprune.cost import CostModel, cost_model
from edgeprune.criteria import Network
from edgeprune.graph import Units, capture, units_of
from edgeprune.model import network
from edgeprune.selection import LossCurve, Problem, create, exact_search, prefer_alignment, registered, resolve
from edgeprune.selection.search_state import SearchState
from tests.example_count import example_count

_COSTS = ("macs", "params", "peak_activation_bytes", "flash_bytes")
_every_selection = pytest.mark.parametrize("name", registered())
_few = example_count(10)


class _Residual(nn.Module):
    """A sum and a concatenation: groups with several layers, and dimensions with several groups."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        stem, inner, beside = widths
        self.stem = nn.Conv2d(3, stem, 3, padding=1)
        self.inner = nn.Sequential(nn.Conv2d(stem, inner, 3, padding=1), nn.ReLU(), nn.Conv2d(inner, stem, 1))
        self.beside = nn.Conv2d(stem, beside, 1)
        self.last = nn.Conv2d(stem + beside, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        return self.last(torch.cat([x + self.inner(x), self.beside(x)], 1))


def _chain(widths: Sequence[int]) -> nn.Module:
    layers: list[nn.Module] = []
    for wide, channels in pairwise((3, *widths)):
        layers += [nn.Conv2d(wide, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 10))


@cache
def _network(kind: str, widths: tuple[int, ...]) -> tuple[Units, dict[str, CostModel]]:
    model = (_Residual(widths) if kind == "residual" else _chain(widths)).eval()
    units = units_of(capture(model, (torch.randn(2, 3, 16, 16),)))
    return units, {name: cost_model(name, units, model) for name in _COSTS}


@st.composite
def _problems(draw: st.DrawFn, costs: Sequence[str] = _COSTS) -> Problem:
    """Small networks with limits between a tenth and nine tenths of the dense cost."""
    align = draw(st.sampled_from([1, 8, 16]))
    width = st.integers(3, 5) if align == 1 else st.sampled_from([16, 24, 32, 48, 64])
    kind = draw(st.sampled_from(["chain", "residual"]))
    widths = tuple(draw(st.lists(width, min_size=3 if kind == "residual" else 1, max_size=3)))
    units, models = _network(kind, widths)
    fractions = draw(st.dictionaries(st.sampled_from(costs), st.floats(0.1, 0.9), min_size=1, max_size=3))
    seed = draw(st.integers(0, 99))
    scores = 0.01 + torch.rand(len(units), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return _problem(units, {name: models[name] for name in fractions}, fractions, scores, align)


def _problem(
    units: Units, costs: Mapping[str, CostModel], fractions: Mapping[str, float], scores: Tensor, align: int
) -> Problem:
    limits = {name: fractions[name] * cost.total() for name, cost in costs.items()}
    curves = tuple(
        LossCurve((1, len(group) + 1), (1.0 + float(scores[group.start]), 0.0))
        if len(group)
        else LossCurve((1,), (0.0,))
        for group in units.groups
    )
    return Problem(units, scores, costs, limits, prefer_alignment(units, resolve(units), align), curves)


def _used(problem: Problem, removed: Tensor) -> float:
    """The fraction of the tightest budget that is used."""
    used = []
    for name, dense in problem.costs.items():
        cost = dense.copy()
        cost.remove(removed)
        used.append(cost.total() / problem.limits[name])
    return max(used)


def _combinations(problem: Problem) -> list[tuple[float, float]]:
    """Of all numbers of units that may stay and keep the limits: the use of the budgets, and the scores that go."""
    groups = problem.units.groups
    ranked = [group.start + torch.argsort(problem.scores[group.start : group.stop]) for group in groups]
    numbers = [constraint.allowed_counts(group) for group, constraint in zip(groups, problem.constraints, strict=True)]
    results = []
    for index in product(*numbers):
        removed = torch.zeros(len(problem.units), dtype=torch.bool)
        for order, count in zip(ranked, index, strict=True):
            removed[order[: len(order) - count]] = True
        results.append((_used(problem, removed), float(problem.scores[removed].sum())))
    return [(used, losses) for used, losses in results if used <= 1]


def _enough(combinations: Sequence[tuple[float, float]]) -> float:
    """The least use of the tightest budget that is asked for."""
    return min(0.97, max(used for used, _ in combinations))


@pytest.mark.long
@_every_selection
@_few
@given(problem=_problems())
def test_budgets_are_used_as_far_as_levels_allow(name: str, problem: Problem) -> None:
    combinations = _combinations(problem)
    assume(combinations)
    assert _enough(combinations) <= _used(problem, create(name).choose(problem)) <= 1


@pytest.mark.long
@example_count(15)
@given(problem=_problems())
def test_knapsack_loses_the_least_of_all_combinations(problem: Problem) -> None:
    combinations = _combinations(problem)
    assume(combinations)
    enough = _enough(combinations)
    least = min(losses for used, losses in combinations if used >= enough)
    removed = create("knapsack").choose(problem)
    assert float(problem.scores[removed].sum()) == pytest.approx(least)


@pytest.mark.long
@example_count(15)
@given(problem=_problems())
def test_integer_program_equals_exhaustive_search(problem: Problem) -> None:
    values = SearchState(problem).pruning_levels.blocks(problem.scores) if _combinations(problem) else None
    assume(values is not None)
    compared, solved = SearchState(problem), SearchState(problem)
    assume(not compared.fits())
    assert exact_search.find_best(compared, values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_search, "_MAX_COMBINATIONS", 0)
        assert exact_search.find_best(solved, values)
    assert solved.budget_use() >= min(0.97, compared.budget_use()) - 1e-9
    assert float(problem.scores[solved.removed].sum()) == pytest.approx(float(problem.scores[compared.removed].sum()))


@pytest.mark.long
@example_count(15)
@given(problem=_problems(("macs",)), smaller=st.floats(0.5, 1.0))
def test_a_smaller_limit_never_costs_more_where_the_search_is_exact(problem: Problem, smaller: float) -> None:
    units, scores, costs = problem.units, problem.scores, problem.costs
    less = Problem(units, scores, costs, {"macs": smaller * problem.limits["macs"]}, problem.constraints)
    assume(_combinations(less))
    for name in ("global", "knapsack", "uniform"):
        used = _used(problem, create(name).choose(problem)) * problem.limits["macs"]
        assert _used(less, create(name).choose(less)) * less.limits["macs"] <= used * (1 + 1e-12)


def _without_exact_search(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(exact_search, "_MAX_COMBINATIONS", 0)
    patch.setattr(exact_search, "_MAX_LEVELS", 0)


@pytest.mark.parametrize("searched", ["exactly", "by exchanges"])
@_every_selection
def test_the_network_of_the_readme(name: str, searched: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the first layer's filters and all of the second's are 320 MACs over the limit."""
    if searched == "by exchanges":
        if name == "uniform":
            pytest.skip("uniform goes no further than a block from the common fraction")
        _without_exact_search(monkeypatch)
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    ).eval()  # fmt: skip
    units = units_of(capture(model, (torch.randn(1, 3, 32, 32),)))
    scores = criteria.score(criteria.create("l2"), Network(model, units, 0, None))
    problem = _problem(units, {"macs": cost_model("macs", units, model)}, {"macs": 0.5}, scores, 8)
    removed = create(name).choose(problem)
    # No combination of levels uses more: 32 and 24 filters.
    assert _used(problem, removed) == pytest.approx(0.9473, abs=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("align", [1, 4, 8])
@_every_selection
def test_the_network_of_the_digits_recipe(name: str, align: int) -> None:
    recipe = Recipe.load("digits")
    model = network.load_model(recipe.model.factory, None, base=recipe.folder)
    units = units_of(capture(model, (torch.randn(1, 1, 8, 8),)))
    scores = criteria.score(criteria.create("l2"), Network(model, units, 0, None))
    problem = _problem(units, {"macs": cost_model("macs", units, model)}, {"macs": 0.5}, scores, align)
    assert 0.97 <= _used(problem, create(name).choose(problem)) <= 1


@pytest.mark.long
@_few
@given(problem=_problems())
def test_exchanges_use_budgets_too(problem: Problem) -> None:
    """Where nothing is searched exactly, use is at least 0.9 of what is possible, and most often all of it."""
    combinations = _combinations(problem)
    assume(combinations)
    with pytest.MonkeyPatch.context() as patch:
        _without_exact_search(patch)
        removed = create("global").choose(problem)
    assert 0.9 * _enough(combinations) <= _used(problem, removed) <= 1
