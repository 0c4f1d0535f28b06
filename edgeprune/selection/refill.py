"""Refill of unused budgets: restore blocks, and exchange blocks of one group for blocks of another.

1. Restore the block with the most importance for its cost that fits. Repeat until no block fits.
2. If less than ``_FULL_USE`` of the tightest budget is used, compare all exchanges. An exchange restores blocks of one
   group, removes blocks of another group and increases the cost. Make the exchange that gains the most importance.
3. If no exchange gains importance and less than ``MIN_BUDGET_USE`` of the tightest budget is used, make the exchange
   that loses the least importance for the budget that it uses.
4. Repeat from step 1 until no exchange is made.

Complexity: each round computes the costs of at most about ``_MAX_MOVES`` squared exchanges. Every move increases the
cost, so the search terminates. The order of moves depends on the state alone, and limits only exclude moves.
Therefore, a smaller limit of a single cost never results in a higher cost.
"""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.selection.search_state import MIN_BUDGET_USE, SearchState

_FULL_USE = 0.995
"""Used fraction of the tightest budget from which on no blocks are exchanged."""
_MAX_MOVES = 128
"""Maximum number of restorations that exchanges try, and of removals, over all groups."""
_CHUNK = 2**12
"""Number of exchanges whose costs are computed at once."""


def refill(state: SearchState, values: Tensor, lowest: Tensor | None = None) -> None:
    """Restore and exchange blocks while all limits hold, until no move is possible.

    A block of importance 0 is never restored.

    Args:
        state: Search state within all limits, modified in place.
        values: Importance of each block, at least 0, (groups, steps).
        lowest: Highest level that each group may reach, (groups,). Defaults to the last level of each group.
    """
    lowest = state.pruning_levels.steps if lowest is None else lowest
    while True:
        put_back(state, values)
        if state.budget_use() >= _FULL_USE or not _exchange(state, values, lowest):
            return


def put_back(state: SearchState, values: Tensor) -> None:
    """Restore blocks while all limits hold, in descending order of importance per cost."""
    # A block that exceeds a limit now also exceeds it after more blocks are restored: no group is tried again.
    blocked = torch.zeros_like(state.level, dtype=torch.bool)
    while True:
        value = torch.where(state.level > 0, _at(values, state.level - 1), 0.0)
        candidates = ((value > 0) & ~blocked).nonzero().flatten()
        if not len(candidates):
            return
        budget_fraction = torch.zeros_like(value)
        for name, cost in state.costs.items():
            budget_fraction += _at(state.pruning_levels.blocks(cost.gains()), state.level - 1) / state.limits[name]
        ratio = value / budget_fraction.clamp(min=1e-12)
        for group in candidates[torch.argsort(ratio[candidates], descending=True, stable=True)].tolist():
            level = state.level.clone()
            level[group] -= 1
            if not state.try_move(level):
                blocked[group] = True


def _exchange(state: SearchState, values: Tensor, lowest: Tensor) -> bool:
    """Make the best exchange. Return whether an exchange was made."""
    levels, gain = _exchanges(state, values, lowest)
    used = state.budget_use()
    if used >= MIN_BUDGET_USE:
        levels, gain = levels[gain > 0], gain[gain > 0]
    if not len(levels):
        return False
    parts = [state.totals_at(chunk) for chunk in torch.split(levels, _CHUNK)]
    totals = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    before = state.totals()
    added, used_then = torch.zeros_like(gain), torch.zeros_like(gain)
    for name, total in totals.items():
        added += (total - before[name]) / state.limits[name]
        used_then = torch.maximum(used_then, total / state.limits[name])
    gains = ((gain > 0) & (added > 0) & (used_then <= 1)).nonzero().flatten()
    order = gains[torch.argsort(gain[gains], descending=True, stable=True)].tolist()
    if used < MIN_BUDGET_USE:
        uses = ((gain <= 0) & (added > 0) & (used_then <= 1) & (used_then > used)).nonzero().flatten()
        order += uses[torch.argsort(-gain[uses] / (used_then[uses] - used), stable=True)].tolist()
    return any(state.try_move(levels[index]) for index in order)


def _exchanges(state: SearchState, values: Tensor, lowest: Tensor) -> tuple[Tensor, Tensor]:
    """Return the levels after each exchange, (n, groups), and its gain in importance, (n,)."""
    level = state.level
    distance = max(1, _MAX_MOVES // len(level))
    restorations, removals = [], []
    for group, (current, end) in enumerate(zip(level.tolist(), lowest.tolist(), strict=True)):
        worthless = (values[group, :current] <= 0).nonzero().flatten().tolist()
        lower = max(current - distance, *(step + 1 for step in worthless), 0)
        restorations += [(group, target) for target in range(lower, current)]
        removals += [(group, target) for target in range(current + 1, min(current + distance, end) + 1)]
    pairs = [(*one, *other) for one in restorations for other in removals if one[0] != other[0]]
    one, up, other, down = torch.tensor(pairs, dtype=torch.long).reshape(-1, 4).T
    level_loss = torch.cat([torch.zeros(len(values), 1, dtype=values.dtype), values.cumsum(1)], 1)
    gain = level_loss[one, level[one]] - level_loss[one, up] + level_loss[other, level[other]] - level_loss[other, down]
    levels = level.repeat(len(pairs), 1)
    levels[torch.arange(len(pairs)), one] = up
    levels[torch.arange(len(pairs)), other] = down
    return levels, gain


def _at(blocks: Tensor, step: Tensor) -> Tensor:
    """Return the entry of each group at index ``step``, clamped to the valid range, (groups,)."""
    return blocks.gather(1, step.clamp(0, blocks.shape[1] - 1)[:, None])[:, 0]
