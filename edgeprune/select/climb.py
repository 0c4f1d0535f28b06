"""Use up what is left of the budgets: put blocks back, and exchange blocks for others that matter more."""

from __future__ import annotations

import torch
from torch import Tensor

from edgeprune.select.choice import Choice

_USED = 0.995
"""Share of the tightest budget from which on nothing is exchanged."""
_INTERPLAY = 0.1
"""How far two blocks together may save less than both alone, as a share of what the one put back costs."""


def climb(choice: Choice, values: Tensor) -> None:
    """Take moves that add cost while all limits hold, until there are none.

    ``values`` says what each block matters, (groups, steps). Blocks are put back, those first that matter most for
    what they cost. Where that leaves much of the budget, because blocks are large, one is put back and one that
    matters less goes in exchange. A block that does not matter stays away.
    """
    while True:
        _put_back(choice, values)
        if _used(choice) >= _USED or not _exchange(choice, values):
            return


def _put_back(choice: Choice, values: Tensor) -> None:
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
            level = choice.level
            choice.move(_changed(level, back=group))
            if not choice.fits():
                blocked[group] = True
                choice.move(level)


def _exchange(choice: Choice, values: Tensor) -> bool:
    """Put one block back and take one that matters less, at a higher cost; False where no pair of blocks allows it."""
    ladder, level, before = choice.ladder, choice.level, choice.totals()
    better = _at(values, level - 1)[:, None] - _at(values, level)
    possible = (better > 0) & (level > 0)[:, None] & (level < ladder.steps)
    least = {}
    for name, cost in choice.costs.items():
        back, gone = _at(ladder.blocks(cost.gains()), level - 1), _at(ladder.blocks(cost.savings()), level)
        least[name] = (1 - _INTERPLAY) * back[:, None] - gone
        possible &= least[name] <= choice.limits[name] - before[name]
    pairs = possible.fill_diagonal_(False).nonzero()
    for back, gone in pairs[torch.argsort(better[possible], descending=True, stable=True)].tolist():
        choice.move(_changed(level, back=back, gone=gone))
        added = {name: total - before[name] for name, total in choice.totals().items()}
        # An exchange that costs less than foreseen is left out whatever the limits, or a smaller limit could take one
        # that a larger limit did not look at.
        foreseen = all(added[name] >= least[name][back, gone] for name in added)
        if foreseen and choice.fits() and sum(added[name] / choice.limits[name] for name in added) > 0:
            return True
    choice.move(level)
    return False


def _used(choice: Choice) -> float:
    """The share that is used of the tightest budget."""
    return max(total / choice.limits[name] for name, total in choice.totals().items())


def _at(blocks: Tensor, step: Tensor) -> Tensor:
    """For each group the block with index ``step``, (groups,); some other one where there is none."""
    return blocks.gather(1, step.clamp(0, blocks.shape[1] - 1)[:, None])[:, 0]


def _changed(level: Tensor, back: int, gone: int | None = None) -> Tensor:
    level = level.clone()
    level[back] -= 1
    if gone is not None:
        level[gone] += 1
    return level
