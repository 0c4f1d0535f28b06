"""Exact search for the pruning levels that lose the least importance within the limits.

1. Remove all blocks of importance 0 that precede the other blocks of their group.
2. If at most ``_MAX_COMBINATIONS`` combinations of levels remain, compute the costs of all of them and take the best.
3. Otherwise, if the problem is small, solve an integer program: a multiple-choice knapsack (Sinha and Zoltners, 1979)
   whose products of two groups are linearized (Adams and Sherali, 1986).

Complexity: O(combinations * terms) in step 2. Step 3 is exponential in the worst case; ``_MAX_NODES`` limits it.
A smaller limit never results in a higher cost: the objective does not depend on limits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import torch
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import Tensor
from torch.nn import functional

from edgeprune.cost import CostModel
from edgeprune.selection.search_state import MIN_BUDGET_USE, SearchState

_MAX_COMBINATIONS = 2**14
"""Maximum number of combinations of levels for which all are compared."""
_CHUNK = 2**12
"""Number of combinations per evaluation of costs."""
_MAX_LEVELS = 160
"""Maximum number of levels, over all groups, of an integer program."""
_MAX_PRODUCTS = 2000
"""Maximum number of pairs of levels of coupled groups of an integer program."""
_MAX_SUMS = 64
"""Maximum number of limited sums of an integer program."""
_MAX_NODES = 500
"""Maximum number of nodes of the solver. Unlike a time limit, it is the same on every machine."""
_MAX_SECONDS = 30.0
"""Time limit of the solver in seconds."""
_INFEASIBLE = 2
"""Status of an infeasible program in scipy's ``milp``."""
_TIE = 1e-9
"""Tolerance of equal option_losses, as a fraction of the largest loss."""
_SCALE = 1e4
"""Largest loss of a group in the solver's objective, which it minimizes to within 1e-6."""
_SOLVER_TOLERANCE = 2e-6
"""Fraction of a limit by which the solver may miss it."""


def find_best(state: SearchState, values: Tensor) -> bool:
    """Move ``state`` to the levels that lose the least importance within the limits. Return whether they were found.

    The levels use at least ``MIN_BUDGET_USE`` of the tightest budget, or the largest possible fraction. Blocks of
    importance 0 that precede the other blocks of their group are always removed. If their removal is sufficient, or
    the search is too expensive, ``state`` is unchanged and the result is False.

    Args:
        state: Search state with nothing removed.
        values: Importance of each block, at least 0, (groups, steps).
    """
    start = state.level
    exists = state.pruning_levels.exists
    start_losses = torch.zeros(len(values), 1, dtype=torch.float64)
    losses = torch.cat([start_losses, values.masked_fill(~exists, 0.0).cumsum(1)], 1)
    min_level = ((losses[:, 1:] == 0) & exists).sum(1)
    state.move(min_level)
    if not state.fits():

        def loss(levels: Tensor) -> Tensor:
            zeros = torch.zeros(len(levels)).double()
            return sum((losses[group, level] for group, level in enumerate(levels.T)), zeros)

        if compare_all(state, loss, min_level) or _solve_program(state, losses, min_level):
            return True
    state.move(start)
    return False


def compare_all(state: SearchState, loss: Callable[[Tensor], Tensor], min_level: Tensor) -> bool:
    """Move ``state`` to the best combination of levels. Return False, without a move, if there are too many.

    Args:
        state: Search state.
        loss: Objective of several combinations of levels, (n, groups) -> (n,). Must not depend on limits.
        min_level: Lowest level of each group, (groups,).
    """
    counts = (state.pruning_levels.steps - min_level + 1).tolist()
    if math.prod(counts) > _MAX_COMBINATIONS:
        return False
    levels = torch.stack(torch.unravel_index(torch.arange(math.prod(counts)), counts), 1) + min_level
    used = torch.cat([state.budget_use_at(chunk) for chunk in torch.split(levels, _CHUNK)])
    allowed = used <= 1
    if not bool(allowed.any()):
        return False
    allowed &= used >= min(MIN_BUDGET_USE, float(used[allowed].max()))
    levels, used = levels[allowed], used[allowed]
    losses = loss(levels)
    least = losses <= losses.min() + _TIE * losses.abs().max()
    return state.try_move(levels[used.masked_fill(~least, -1.0).argmax()])


def _solve_program(state: SearchState, losses: Tensor, min_level: Tensor) -> bool:
    """Solve an integer program for the levels. Return False, with ``state`` unchanged, if it is too large or unsolved.

    Costs are sums of products of at most two sizes of groups. Each product of binary variables is a separate variable,
    so costs are exact. ``losses`` is the lost importance at each level, (groups, steps + 1).
    """
    groups = (state.pruning_levels.steps > min_level).nonzero().flatten().tolist()
    options = [
        (group, level)
        for group in groups
        for level in range(int(min_level[group]), int(state.pruning_levels.steps[group]) + 1)
    ]
    if not options or len(options) > _MAX_LEVELS:
        return False
    before = state.level
    state.move(min_level)
    sums: list[_Sum] = []
    for name, cost in state.costs.items():
        result = _sums(state, cost, options, state.limits[name])
        if result is None:
            state.move(before)
            return False
        sums += result
    state.move(before)
    if len(sums) > _MAX_SUMS:
        return False
    program = _Program.of([group for group, _ in options], sums)
    if len(program.pairs) > _MAX_PRODUCTS:
        return False
    option_losses = np.array([float(losses[group, level]) for group, level in options])
    for margin in (0.0, _SOLVER_TOLERANCE):
        selection = program.solve(option_losses, margin)
        if selection is None:
            return False
        level = before.clone()
        for index in selection:
            group, level[group] = options[index]
        if state.try_move(level):
            return True
    return False


@dataclass(frozen=True, eq=False)
class _Sum:
    """``constant + linear @ x + x @ product @ x``, a fraction of a limit, with x = 1 for each selected option."""

    constant: float
    linear: np.ndarray
    product: np.ndarray

    @property
    def option_weights(self) -> np.ndarray:
        """Contribution of each option alone, as x * x = x. Two options of one group are never selected together."""
        return self.linear + np.diag(self.product)


def _sums(state: SearchState, cost: CostModel, options: Sequence[tuple[int, int]], limit: float) -> list[_Sum] | None:
    """Return the sums whose maximum is ``cost``. None without such sums, or with products of more than two groups."""
    weighted = cost.as_largest_sum()
    if weighted is None:
        return None
    (weights, offset), pruning_levels, terms = weighted, state.pruning_levels, cost.terms
    masks = [
        (pruning_levels.group == group) & (pruning_levels.step <= level) & ~state.removed for group, level in options
    ]
    reduction = cost.reduction(torch.stack(masks))
    shrinks = (reduction != 0).any(0)
    if bool((shrinks.sum(1) > 2).any()):
        return None
    # The two factors of each term that can shrink come first; the others are constant.
    order = torch.argsort(shrinks.double(), dim=1, descending=True, stable=True)
    remaining, reduction = terms.remaining.gather(1, order), reduction.gather(2, order.expand_as(reduction))
    missing = max(0, 2 - remaining.shape[1])
    remaining = functional.pad(remaining, (0, missing), value=1.0)
    reduction = functional.pad(reduction, (0, missing))
    result = []
    for row in _undominated(weights):
        factor = row * terms.counts * remaining[:, 2:].prod(1) / limit
        one, other = factor * remaining[:, 0], factor * remaining[:, 1]
        result.append(
            _Sum(
                float((one * remaining[:, 1]).sum()) + offset / limit,
                -(reduction[:, :, 0] @ other + reduction[:, :, 1] @ one).numpy(),
                ((reduction[:, :, 0] * factor) @ reduction[:, :, 1].T).numpy(),
            )
        )
    return result


def _undominated(weights: Tensor) -> Tensor:
    """Return the rows of ``weights``, (rows, terms), that are not dominated by another row in every term."""
    rows: Tensor = torch.unique(weights, dim=0)
    larger = (rows[None] >= rows[:, None]).all(2)
    return rows[larger.sum(1) == 1]


@dataclass(frozen=True, eq=False)
class _Program:
    """Integer program that selects one option of each group.

    Variables: the selection of each option, the selection of both options of each pair, a lower bound of each sum
    (above 0 for one sum only), and the choice of this sum.

    Attributes:
        members: Options of each group.
        pairs: Pairs of options of two groups whose product occurs in a sum.
        sums: Sums that are limited to 1.
    """

    members: list[list[int]]
    pairs: list[tuple[int, int]]
    sums: list[_Sum]

    @staticmethod
    def of(groups: Sequence[int], sums: list[_Sum]) -> _Program:
        """Return the program for options whose groups are ``groups``."""
        members = [[index for index, group in enumerate(groups) if group == each] for each in dict.fromkeys(groups)]
        depends = np.zeros((len(groups), len(groups)), dtype=bool)
        for each in sums:
            depends |= (each.product != 0) | (each.product.T != 0)
        pairs: list[tuple[int, int]] = []
        for one, other in combinations(members, 2):
            if depends[np.ix_(one, other)].any():
                pairs += product(one, other)
        return _Program(members, pairs, sums)

    def solve(self, losses: np.ndarray, margin: float) -> list[int] | None:
        """Return the options that lose the least importance, or None if the solver fails.

        Args:
            losses: Lost importance of each option, (options,).
            margin: Distance of the sums from 1.
        """
        scaled = _SCALE * losses / losses.max()
        options, count = len(losses), len(self.sums)
        size = options + len(self.pairs) + 2 * count
        least_loss, most_used = np.zeros(size), np.zeros(size)
        least_loss[:options] = scaled
        most_used[size - 2 * count : size - count] = -1.0
        status, result = self._minimize(least_loss, MIN_BUDGET_USE + _SOLVER_TOLERANCE, margin)
        if status == _INFEASIBLE:
            # No levels use so much of a budget. Compute the largest possible use.
            status, result = self._minimize(most_used, 0.0, margin)
            if status == 0:
                status, result = self._minimize(least_loss, -float(most_used @ result) - _TIE, margin)
        return np.flatnonzero(result[:options] > 0.5).tolist() if status == 0 else None

    def _minimize(self, objective: np.ndarray, used: float, margin: float) -> tuple[int, np.ndarray]:
        """Minimize ``objective`` with some sum at least ``used``. Return the status of HiGHS and the variables."""
        count = len(self.sums)
        options = sum(map(len, self.members))
        bound, selection = options + len(self.pairs), options + len(self.pairs) + count
        entries: list[tuple[int, int, float]] = []
        limits: list[tuple[float, float]] = []

        def constrain(row: Iterable[tuple[int, float]], low: float, high: float) -> None:
            entries.extend((len(limits), column, value) for column, value in row if value)
            limits.append((low, high))

        for each in self.members:
            constrain(((index, 1.0) for index in each), 1.0, 1.0)
        for option, columns in self._pairs_of_options():
            constrain([*((options + column, 1.0) for column in columns), (option, -1.0)], 0.0, 0.0)
        for index, total in enumerate(self.sums):
            row = list(enumerate(total.option_weights.tolist()))
            row += [
                (options + pair, float(total.product[at] + total.product[at[::-1]]))
                for pair, at in enumerate(self.pairs)
            ]
            constrain(row, -math.inf, 1.0 - margin - total.constant)
            constrain([*row, (bound + index, -1.0)], -total.constant, math.inf)
            constrain([(selection + index, 1.0), (bound + index, -1.0)], 0.0, math.inf)
        constrain(((selection + index, 1.0) for index in range(count)), 1.0, 1.0)
        constrain(((bound + index, 1.0) for index in range(count)), used, math.inf)
        rows, at, values = zip(*entries, strict=True)
        low, high = zip(*limits, strict=True)
        matrix = sparse.csr_array((values, (rows, at)), shape=(len(limits), len(objective)))
        solved = milp(
            objective,
            integrality=np.repeat([1, 0, 1], [options, len(self.pairs) + count, count]),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(matrix, low, high),
            options={"node_limit": _MAX_NODES, "time_limit": _MAX_SECONDS, "mip_rel_gap": _TIE},
        )
        return solved.status, solved.x

    def _pairs_of_options(self) -> Iterator[tuple[int, list[int]]]:
        """Yield each option with its pairs with one other group: one is selected if the option is."""
        group = {option: index for index, options in enumerate(self.members) for option in options}
        result: dict[tuple[int, int], list[int]] = {}
        for index, (one, other) in enumerate(self.pairs):
            result.setdefault((one, group[other]), []).append(index)
            result.setdefault((other, group[one]), []).append(index)
        for (option, _), columns in result.items():
            yield option, columns
