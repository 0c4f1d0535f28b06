"""Use what is left of the budgets: put blocks back, and exchange blocks of one group for blocks of another.

1. Put back the block with the most importance for its cost that fits, until no block fits.
2. If much of the tightest budget is left, because blocks are large, compare all exchanges: some blocks of one group
   come back, some of another go, and the cost rises. Make the one that gains the most importance.
3. If no exchange gains importance and less than ``USED`` of the tightest budget is used, make the one that loses the
   least importance for what it uses.
4. Repeat until nothing is left to do.

Every move adds cost, so the search ends. Which move comes first depends on the state alone, and limits only rule moves
out. So a smaller limit of a single cost never ends with more cost.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.selection.search_state import USED, SearchState

_FULL = 0.995
"""Fraction of the tightest budget from which on nothing is exchanged."""
_OPTIONS = 128
"""Ways to put blocks back that are tried in exchanges, and as many ways to remove blocks."""
_CHUNK = 2**12
"""Exchanges whose costs are computed at once."""


def climb(choice: SearchState, values: Tensor, lowest: Tensor | None = None) -> None:
    """Take moves that add cost while all limits hold, until there are none.

    A block without value is never put back.

    Args:
        choice: The search state; all limits hold.
        values: Importance of each block, at least 0, (groups, steps).
        lowest: Levels that no group goes beyond, (groups,); None: the last of each.
    """
    lowest = choice.ladder.steps if lowest is None else lowest
    while True:
        put_back(choice, values)
        if choice.used() >= _FULL or not _exchange(choice, values, lowest):
            return


def put_back(choice: SearchState, values: Tensor) -> None:
    """Put blocks back while all limits hold, those first whose importance is the largest for their cost."""
    # What does not fit now fits no better when there is more: no group is tried again.
    blocked = torch.zeros_like(choice.level, dtype=torch.bool)
    while True:
        value = torch.where(choice.level > 0, _at(values, choice.level - 1), 0.0)
        candidates = ((value > 0) & ~blocked).nonzero().flatten()
        if not len(candidates):
            return
        share = torch.zeros_like(value)
        for name, cost in choice.costs.items():
            share += _at(choice.ladder.blocks(cost.gains()), choice.level - 1) / choice.limits[name]
        worth = value / share.clamp(min=1e-12)
        for group in candidates[torch.argsort(worth[candidates], descending=True, stable=True)].tolist():
            level = choice.level.clone()
            level[group] -= 1
            if not choice.try_move(level):
                blocked[group] = True


def _exchange(choice: SearchState, values: Tensor, lowest: Tensor) -> bool:
    """Make the best exchange; False if there is none."""
    levels, gain = _exchanges(choice, values, lowest)
    used = choice.used()
    if used >= USED:
        levels, gain = levels[gain > 0], gain[gain > 0]
    if not len(levels):
        return False
    parts = [choice.totals_at(chunk) for chunk in torch.split(levels, _CHUNK)]
    totals = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    before = choice.totals()
    added, used_then = torch.zeros_like(gain), torch.zeros_like(gain)
    for name, total in totals.items():
        added += (total - before[name]) / choice.limits[name]
        used_then = torch.maximum(used_then, total / choice.limits[name])
    gains = ((gain > 0) & (added > 0) & (used_then <= 1)).nonzero().flatten()
    order = gains[torch.argsort(gain[gains], descending=True, stable=True)].tolist()
    if used < USED:
        uses = ((gain <= 0) & (added > 0) & (used_then <= 1) & (used_then > used)).nonzero().flatten()
        order += uses[torch.argsort(-gain[uses] / (used_then[uses] - used), stable=True)].tolist()
    return any(choice.try_move(levels[index]) for index in order)


def _exchanges(choice: SearchState, values: Tensor, lowest: Tensor) -> tuple[Tensor, Tensor]:
    """The levels after each exchange, (n, groups), and the importance that it gains, (n,)."""
    level = choice.level
    most = max(1, _OPTIONS // len(level))
    back, gone = [], []
    for group, (now, end) in enumerate(zip(level.tolist(), lowest.tolist(), strict=True)):
        worthless = (values[group, :now] <= 0).nonzero().flatten().tolist()
        back += [(group, to) for to in range(max(now - most, *(step + 1 for step in worthless), 0), now)]
        gone += [(group, to) for to in range(now + 1, min(now + most, end) + 1)]
    pairs = [(*one, *other) for one in back for other in gone if one[0] != other[0]]
    one, up, other, down = torch.tensor(pairs, dtype=torch.long).reshape(-1, 4).T
    lost = torch.cat([torch.zeros(len(values), 1, dtype=values.dtype), values.cumsum(1)], 1)
    gain = lost[one, level[one]] - lost[one, up] + lost[other, level[other]] - lost[other, down]
    levels = level.repeat(len(pairs), 1)
    levels[torch.arange(len(pairs)), one] = up
    levels[torch.arange(len(pairs)), other] = down
    return levels, gain


def _at(blocks: Tensor, step: Tensor) -> Tensor:
    """For each group the block with index ``step``, (groups,); some other one where there is none."""
    return blocks.gather(1, step.clamp(0, blocks.shape[1] - 1)[:, None])[:, 0]
