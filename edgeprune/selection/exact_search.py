"""Exact search: the best of all levels, compared one by one where they are few, else by an integer program."""

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

from edgeprune.cost import CostModel
from edgeprune.selection.search_state import USED, SearchState

_COMBINATIONS = 2**14
"""Combinations of levels up to which all are compared."""
_CHUNK = 2**12
"""Combinations whose costs are computed at once."""
_LEVELS = 160
"""Levels of all groups together up to which an integer program is solved."""
_PRODUCTS = 2000
"""Pairs of levels of coupled groups up to which an integer program is solved."""
_ROWS = 64
"""Sums that are limited, up to which an integer program is solved."""
_NODES = 500
"""Nodes after which the solver stops. Unlike seconds they are the same on every machine."""
_SECONDS = 30.0
"""Seconds after which the solver stops in any case."""
_INFEASIBLE = 2
"""Status of scipy's ``milp``."""
_TIE = 1e-9
"""Fraction of the largest loss up to which two losses are equal."""
_SCALE = 1e4
"""Largest loss of a group in the solver's objective, which it minimizes to within 1e-6."""
_SOLVER_TOLERANCE = 2e-6
"""Fraction of a limit by which the solver may miss it."""


def find_best(choice: SearchState, values: Tensor) -> bool:
    """Move ``choice`` to the levels that lose the least importance within the limits; False if that takes too long.

    The levels use at least ``USED`` of the tightest budget, or as much as any levels do if none use so much. Blocks
    without value that a group would lose first are always removed. If removing them is enough, False is returned as
    well: there is nothing to weigh.

    A smaller limit of a single cost never ends with more cost: what is minimized does not depend on the limit, and the
    least use that is accepted rises with it.

    Args:
        choice: The search state, with nothing removed.
        values: Importance of each block, at least 0, (groups, steps).
    """
    start = choice.level
    exists = choice.ladder.exists
    lost = torch.cat([torch.zeros(len(values), 1, dtype=torch.float64), values.masked_fill(~exists, 0.0).cumsum(1)], 1)
    first = ((lost[:, 1:] == 0) & exists).sum(1)
    choice.move(first)
    if not choice.fits():

        def loss(levels: Tensor) -> Tensor:
            return sum((lost[group, level] for group, level in enumerate(levels.T)), torch.zeros(len(levels)).double())

        if compare_all(choice, loss, first) or _solve_program(choice, lost, first):
            return True
    choice.move(start)
    return False


def compare_all(choice: SearchState, loss: Callable[[Tensor], Tensor], first: Tensor) -> bool:
    """Move ``choice`` to the best combination of levels; False, and it stays, if there are too many to compare all.

    Args:
        choice: The search state.
        loss: Minimized quantity of several combinations of levels: (n, groups) -> (n,). Must not depend on limits.
        first: The least level of each group, (groups,).
    """
    counts = (choice.ladder.steps - first + 1).tolist()
    if math.prod(counts) > _COMBINATIONS:
        return False
    levels = torch.stack(torch.unravel_index(torch.arange(math.prod(counts)), counts), 1) + first
    used = torch.cat([choice.used_at(chunk) for chunk in torch.split(levels, _CHUNK)])
    allowed = used <= 1
    if not bool(allowed.any()):
        return False
    allowed &= used >= min(USED, float(used[allowed].max()))
    levels, used = levels[allowed], used[allowed]
    lost = loss(levels)
    least = lost <= lost.min() + _TIE * lost.abs().max()
    return choice.try_move(levels[used.masked_fill(~least, -1.0).argmax()])


def _solve_program(choice: SearchState, lost: Tensor, first: Tensor) -> bool:
    """Solve an integer program for the levels; False, and ``choice`` is as it was, if it is too large or not solved.

    Of each group one level is chosen: a multiple-choice knapsack (Sinha and Zoltners, 1979). Costs are sums of products
    of the sizes of two groups at most. A product of two choices is a variable of its own, which agrees with both
    (Adams and Sherali, 1986), so costs are exact. HiGHS solves the program by branch and bound.

    Args:
        choice: The search state.
        lost: Importance that is lost at each level, (groups, steps + 1).
        first: The least level of each group, (groups,).
    """
    groups = (choice.ladder.steps > first).nonzero().flatten().tolist()
    options = [
        (group, level) for group in groups for level in range(int(first[group]), int(choice.ladder.steps[group]) + 1)
    ]
    if not options or len(options) > _LEVELS:
        return False
    before = choice.level
    choice.move(first)
    sums: list[_Sum] = []
    for name, cost in choice.costs.items():
        found = _sums(choice, cost, options, choice.limits[name])
        if found is None:
            choice.move(before)
            return False
        sums += found
    choice.move(before)
    if len(sums) > _ROWS:
        return False
    program = _Program.of([group for group, _ in options], sums)
    if len(program.pairs) > _PRODUCTS:
        return False
    chosen = np.array([float(lost[group, level]) for group, level in options])
    for margin in (0.0, _SOLVER_TOLERANCE):
        picked = program.solve(chosen, margin)
        if picked is None:
            return False
        level = before.clone()
        for index in picked:
            group, level[group] = options[index]
        if choice.try_move(level):
            return True
    return False


@dataclass(frozen=True, eq=False)
class _Sum:
    """``constant + linear @ x + x @ product @ x``, a fraction of a limit, with x = 1 for the levels that are chosen."""

    constant: float
    linear: np.ndarray
    product: np.ndarray

    @property
    def of_option(self) -> np.ndarray:
        """Contribution of each option alone, as x * x = x. Two options of one group are never chosen together."""
        return self.linear + np.diag(self.product)


def _sums(choice: SearchState, cost: CostModel, options: Sequence[tuple[int, int]], limit: float) -> list[_Sum] | None:
    """The sums whose largest is ``cost``; None without such sums, or with products of more than two groups."""
    weighted = cost.as_largest_sum()
    if weighted is None:
        return None
    weights, offset = weighted
    ladder, terms = choice.ladder, cost.terms
    masks = [(ladder.group == group) & (ladder.step <= level) & ~choice.removed for group, level in options]
    taken = cost.taken(torch.stack(masks))
    shrinks = (taken != 0).any(0)
    if bool((shrinks.sum(1) > 2).any()):
        return None
    # The two factors of each term that can shrink come first; the others are constant.
    order = torch.argsort(shrinks.double(), dim=1, descending=True, stable=True)
    left, taken = terms.left.gather(1, order), taken.gather(2, order.expand_as(taken))
    if left.shape[1] < 2:
        left = torch.cat([left, torch.ones(len(left), 2 - left.shape[1], dtype=left.dtype)], 1)
        taken = torch.cat([taken, torch.zeros(*taken.shape[:2], 2 - taken.shape[2], dtype=taken.dtype)], 2)
    found = []
    for row in _undominated(weights):
        factor = row * terms.counts * left[:, 2:].prod(1) / limit
        one, other = factor * left[:, 0], factor * left[:, 1]
        found.append(
            _Sum(
                float((one * left[:, 1]).sum()) + offset / limit,
                -(taken[:, :, 0] @ other + taken[:, :, 1] @ one).numpy(),
                ((taken[:, :, 0] * factor) @ taken[:, :, 1].T).numpy(),
            )
        )
    return found


def _undominated(weights: Tensor) -> Tensor:
    """The rows of ``weights``, (rows, terms), that no other row is at least as large as everywhere."""
    rows: Tensor = torch.unique(weights, dim=0)
    larger = (rows[None] >= rows[:, None]).all(2)
    return rows[larger.sum(1) == 1]


@dataclass(frozen=True, eq=False)
class _Program:
    """An integer program for one option of each group.

    Variables, in this order: whether each option is chosen; whether both options of each pair are; a lower bound of
    each sum, above 0 for one of them only; and which one that is.

    Attributes:
        members: The options of each group.
        pairs: Pairs of options of two groups, of which some sum depends on the product.
        sums: Each at most 1.
    """

    members: list[list[int]]
    pairs: list[tuple[int, int]]
    sums: list[_Sum]

    @staticmethod
    def of(groups: Sequence[int], sums: list[_Sum]) -> _Program:
        """The program for options of which each belongs to one of ``groups``."""
        members = [[index for index, group in enumerate(groups) if group == each] for each in dict.fromkeys(groups)]
        depends = np.zeros((len(groups), len(groups)), dtype=bool)
        for each in sums:
            depends |= (each.product != 0) | (each.product.T != 0)
        pairs: list[tuple[int, int]] = []
        for one, other in combinations(members, 2):
            if depends[np.ix_(one, other)].any():
                pairs += product(one, other)
        return _Program(members, pairs, sums)

    def solve(self, lost: np.ndarray, margin: float) -> list[int] | None:
        """The options that lose the least; None if they are not found.

        Args:
            lost: Importance that is lost with each option.
            margin: Distance of the sums from 1.
        """
        scaled = _SCALE * lost / lost.max()
        options, count = len(lost), len(self.sums)
        size = options + len(self.pairs) + 2 * count
        least_lost, most_used = np.zeros(size), np.zeros(size)
        least_lost[:options] = scaled
        most_used[size - 2 * count : size - count] = -1.0
        status, found = self._minimize(least_lost, USED + _SOLVER_TOLERANCE, margin)
        if status == _INFEASIBLE:
            # No levels use so much. How much do they?
            status, found = self._minimize(most_used, 0.0, margin)
            if status == 0:
                status, found = self._minimize(least_lost, -float(most_used @ found) - _TIE, margin)
        return np.flatnonzero(found[:options] > 0.5).tolist() if status == 0 else None

    def _minimize(self, objective: np.ndarray, used: float, margin: float) -> tuple[int, np.ndarray]:
        """Minimize ``objective`` where some sum is at least ``used``: HiGHS's status, and the variables."""
        count = len(self.sums)
        options = sum(map(len, self.members))
        bound, picked = options + len(self.pairs), options + len(self.pairs) + count
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
            row = list(enumerate(total.of_option.tolist()))
            row += [
                (options + pair, float(total.product[at] + total.product[at[::-1]]))
                for pair, at in enumerate(self.pairs)
            ]
            constrain(row, -math.inf, 1.0 - margin - total.constant)
            constrain([*row, (bound + index, -1.0)], -total.constant, math.inf)
            constrain([(picked + index, 1.0), (bound + index, -1.0)], 0.0, math.inf)
        constrain(((picked + index, 1.0) for index in range(count)), 1.0, 1.0)
        constrain(((bound + index, 1.0) for index in range(count)), used, math.inf)
        rows, at, values = zip(*entries, strict=True)
        low, high = zip(*limits, strict=True)
        matrix = sparse.csr_array((values, (rows, at)), shape=(len(limits), len(objective)))
        solved = milp(
            objective,
            integrality=np.repeat([1, 0, 1], [options, len(self.pairs) + count, count]),
            bounds=Bounds(0, 1),
            constraints=LinearConstraint(matrix, low, high),
            options={"node_limit": _NODES, "time_limit": _SECONDS, "mip_rel_gap": _TIE},
        )
        return solved.status, solved.x

    def _pairs_of_options(self) -> Iterator[tuple[int, list[int]]]:
        """Each option with the indices of its pairs with one other group: one of them is chosen if the option is."""
        group = {option: index for index, options in enumerate(self.members) for option in options}
        found: dict[tuple[int, int], list[int]] = {}
        for index, (one, other) in enumerate(self.pairs):
            found.setdefault((one, group[other]), []).append(index)
            found.setdefault((other, group[one]), []).append(index)
        for (option, _), columns in found.items():
            yield option, columns
