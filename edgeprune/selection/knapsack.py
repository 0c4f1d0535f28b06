"""Knapsack selection: the most importance under the budget."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from edgeprune.selection.base import Problem, Selection, register
from edgeprune.selection.exact_search import find_best
from edgeprune.selection.refill import climb, put_back
from edgeprune.selection.search_state import SearchState

_STEP = 0.08
"""Share of a cost between one linearisation and the next."""
_MULTIPLIERS = 2**12
"""How many multipliers are told apart."""
_STEEPNESS = 3
"""How fast a cost that is below its limit counts less."""


@register
class Knapsack(Selection):
    """How many units of each group stay is chosen so that the sum of the scores that go is least.

    A multiple-choice knapsack (Sinha & Zoltners, The Multiple-Choice Knapsack Problem, 1979): of every group one number
    of units is chosen from those allowed. Where numbers are few, it is solved exactly, see ``exact``. Otherwise it is
    solved by Lagrangian relaxation, after which blocks are put back where they fit. Costs are products of the sizes of
    groups, so they are linearized, and again every 8 % on the way from the dense network, where all groups choose
    again; HALP (Shen et al., Structural Pruning via Latency-Saliency Knapsack, 2022) linearizes as well.
    """

    name = "knapsack"

    def choose(self, problem: Problem) -> Tensor:
        choice = SearchState(problem)
        return solve(choice, choice.ladder.blocks(problem.scores))


def solve(choice: SearchState, values: Tensor) -> Tensor:
    """The mask of the units to remove, (units,), so that little is lost.

    ``values`` says what is lost with each block, at least 0, (groups, steps).
    """
    if find_best(choice, values):
        put_back(choice, values)
        return choice.removed
    lost = torch.cat([torch.zeros(len(values), 1, dtype=torch.float64), values.cumsum(1)], dim=1)
    lost[:, 1:].masked_fill_(~choice.ladder.exists, math.inf)
    marginal = {name: torch.zeros(len(choice.removed), dtype=torch.float64) for name in choice.costs}
    weight = dict.fromkeys(choice.costs, 1.0)
    waypoint = choice.totals()
    while not choice.fits():
        waypoint = {name: (1 - _STEP) * total for name, total in waypoint.items()}
        limits = {name: max(limit, waypoint[name]) for name, limit in choice.limits.items()}
        beyond = min(limits[name] / waypoint[name] for name in limits)
        limits = {name: limit / beyond for name, limit in limits.items()}
        saved = torch.zeros_like(values)
        for name, total in choice.totals().items():
            marginal[name] = _marginal(choice, name, limits[name], marginal[name])
            weight[name] *= (total / limits[name]) ** _STEEPNESS
            saved += weight[name] / limits[name] * choice.ladder.blocks(marginal[name])
        start = choice.level
        # Costs are not linear: where all groups choose again, what is lost may jump. Then only what is left goes on.
        onward = lost.masked_fill(torch.arange(lost.shape[1]) < start[:, None], math.inf)
        again = _Way(lost, _relax(choice, lost, saved, limits), choice.level)
        further = _Way(onward, _relax(choice, onward, saved, limits), choice.level)
        best = min([further, again], key=_Way.badness)
        choice.move(best.end)
        if choice.fits():
            _relax(choice, best.lost, saved, choice.limits)
        elif not best.kept and torch.equal(best.end, start):
            # What is in the way does not show in savings: all groups shrink alike.
            choice.descend(_between(start, choice.ladder.steps, values.shape[1]))
    climb(choice, values)
    return choice.removed


@dataclass(frozen=True, eq=False)
class _Way:
    """A walk over the levels: the loss by level, whether the limits are kept, and the levels where it ended."""

    lost: Tensor
    kept: bool
    end: Tensor

    def badness(self) -> tuple[bool, float]:
        """Limits come first. Where none is kept only the way onward counts, so that there is always progress."""
        return not self.kept, float(self.lost.gather(1, self.end[:, None]).sum()) if self.kept else 0.0


def _marginal(choice: SearchState, name: str, limit: float, known: Tensor) -> Tensor:
    """Cost of each unit now, or ``known`` for a removed one that would cost nothing if it were put back."""
    cost = choice.costs[name]
    gains = cost.gains()
    return torch.where(choice.removed, torch.where(gains > 0, gains, known), cost.savings(limit).clamp(min=0))


def _relax(choice: SearchState, lost: Tensor, saved: Tensor, limits: Mapping[str, float]) -> bool:
    """Go to the levels of least ``lost - multiplier * saved``, for the least multiplier that keeps ``limits``.

    Multipliers are compared on a grid that the state alone gives, so that equal states are told from each other alike
    whatever the limits are. False where even the largest keeps them not.
    """
    ratios = (lost.diff(dim=1) / saved)[lost[:, :-1].isfinite() & lost[:, 1:].isfinite() & (saved > 0)]
    ratios = ratios[ratios > 0] if bool((ratios > 0).any()) else torch.ones(1, dtype=torch.float64)
    low, high = math.log(ratios.min()) - 1, math.log(ratios.max()) + 1
    along = torch.cat([torch.zeros(len(saved), 1, dtype=torch.float64), saved.cumsum(1)], dim=1)

    def fits(index: int) -> bool:
        multiplier = math.exp(low + (high - low) * index / _MULTIPLIERS) if index else 0.0
        choice.move((lost - multiplier * along).argmin(1))
        return choice.fits(limits)

    found = bisect_left(range(_MULTIPLIERS), True, key=fits)
    kept = fits(found)
    end = choice.level
    if kept and found:
        fits(found - 1)
        choice.descend(_between(choice.level, end, saved.shape[1]), limits)
    return kept


def _between(level: Tensor, end: Tensor, steps: int) -> Tensor:
    """The blocks from ``level`` down to ``end``, in an order that takes all groups alike far at any time."""
    step = torch.arange(steps)
    there = (step >= level[:, None]) & (step < end[:, None])
    blocks = there.flatten().nonzero().flatten()
    way = (step - level[:, None]) / (end - level).clamp(min=1)[:, None]
    return blocks[torch.argsort(way.flatten()[blocks], stable=True)]
