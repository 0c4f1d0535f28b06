"""Global selection: the units that cost the least importance for what they save go first, wherever they are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from edgeprune.model.option_checks import OptionChecks
from edgeprune.selection.base import Problem, Selection, register
from edgeprune.selection.exact_search import find_best
from edgeprune.selection.pruning_levels import PruningLevels
from edgeprune.selection.refill import climb, put_back
from edgeprune.selection.search_state import SearchState

_STEP = 0.02
"""Share of a cost that goes before savings are computed anew."""
_LEAST_ALPHA = 0.5
"""Smallest alpha that the exact search follows: with less, small differences in importance are lost in rounding."""


@register
class GlobalGreedy(Selection):
    """Units go in the order of ``score / left**balance / saved**alpha``, until every cost is within its limit.

    ``saved`` is the share of the costs over their limits that goes with the unit now, and is computed anew as units go.
    ``left`` is the share of its group's importance that is there when it and all weaker units of the group are gone.
    Without it, one group could drain: removing from it makes all that is coupled to it cheaper, and so less worth
    removing, but not its own units.

    Where the numbers of units that may stay are few, they are chosen exactly instead, see ``exact``: the sum over all
    units that go of ``(score / left**balance)**(1 / alpha)`` is least, for which the order above is a heuristic.

    Args:
        alpha: 0 ignores costs, 1 is importance for what is saved.
        balance: 0 takes scores as they are, 1 raises them as a group gets smaller. None: 0 where scores add up, else 1.
    """

    name = "global"

    def __init__(self, alpha: float = 1.0, balance: float | None = None) -> None:
        options = OptionChecks("selection")
        self.alpha = options.number("alpha", alpha, least=0)
        self.balance = None if balance is None else options.number("balance", balance, least=0)

    def choose(self, problem: Problem) -> Tensor:
        choice = SearchState(problem)
        balance = self.balance if self.balance is not None else 0.0 if problem.additive else 1.0
        values = choice.ladder.blocks(problem.scores) / _left(choice.ladder, problem.scores) ** balance
        if find_best(choice, _traded(choice.ladder, values, self.alpha)):
            put_back(choice, values)
            return choice.removed
        while not choice.fits():
            choice.descend(_next(choice, values, self.alpha))
        climb(choice, values)
        return choice.removed


def _traded(ladder: PruningLevels, values: Tensor, alpha: float) -> Tensor:
    """Importance of blocks whose least sum is what removing by ``value / saved**alpha`` aims at, (groups, steps).

    A unit goes by ``value / saved**alpha`` as it goes by ``value**(1 / alpha) / saved``, which is the order that
    minimizes a sum of ``value**(1 / alpha)`` for what is saved.
    """
    sizes = ladder.sizes.clamp(min=1)
    each = values / sizes
    return sizes * (each / each.max().clamp(min=1e-300)) ** (1 / max(alpha, _LEAST_ALPHA))


def _next(choice: SearchState, values: Tensor, alpha: float) -> Tensor:
    """Indices of the blocks that go next, in their order; about as much as changes the savings little."""
    ladder = choice.ladder
    totals = choice.totals()
    over = {name: total for name, total in totals.items() if total > choice.limits[name]}
    savings = {
        name: ladder.blocks(choice.costs[name].savings((1 - _STEP) * total)).clamp(min=0)
        for name, total in over.items()
    }
    saved = torch.zeros_like(values)
    for name in over:
        saved += savings[name] / choice.limits[name]
    sizes = ladder.sizes.clamp(min=1)
    worth = values / sizes / (saved / sizes).clamp(min=1e-12) ** alpha
    # What saves nothing now is no way down, and a block can only go after those before it.
    there = ladder.exists & (torch.arange(values.shape[1]) >= choice.level[:, None])
    worth = worth.masked_fill(saved <= 0, math.inf).masked_fill(~there, 0.0).cummax(1).values
    candidates = there.flatten().nonzero().flatten()
    order = candidates[torch.argsort(worth.flatten()[candidates], stable=True)]
    enough = min(int((savings[name].flatten()[order].cumsum(0) <= _STEP * total).sum()) for name, total in over.items())
    return order[: max(1, enough)]


def _left(ladder: PruningLevels, scores: Tensor) -> Tensor:
    """The share of its group's importance that is left when a block and all before it are gone, (groups, steps)."""
    whole = torch.zeros(len(ladder.steps), dtype=torch.float64).index_add(0, ladder.group, scores)
    gone_at_once = whole - torch.zeros_like(whole).index_add(0, ladder.group, scores * (ladder.step > 0))
    left = whole[:, None] - gone_at_once[:, None] - ladder.blocks(scores).cumsum(1)
    return (left / whole.clamp(min=1e-12)[:, None]).clamp(min=1e-6)
