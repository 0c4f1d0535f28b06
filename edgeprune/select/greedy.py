"""Global selection: the units that cost the least importance for what they save go first, wherever they are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from edgeprune.cost import CostModel
from edgeprune.errors import BudgetError
from edgeprune.graph import Units

_STEP = 0.25
"""Share of what is still over the budget that goes before savings are computed anew."""
_OVERSHOOT = 0.005
"""Share of a budget that a unit may save too much, while there are units that save less."""


def select_global(
    units: Units,
    scores: Tensor,
    costs: Mapping[str, CostModel],
    limits: Mapping[str, float],
    *,
    alpha: float = 0.5,
    balance: float = 1.0,
) -> Tensor:
    """Choose units to remove until every cost is within its limit.

    Units go in the order of ``score / left**balance / saved**alpha``. ``saved`` is the share of the costs over their
    limits that goes with the unit now, ``left`` the share of its group's importance that is there when it and all
    weaker units of the group are gone; both are refreshed as units go. What the last step removed too much is put
    back, the most important first. The strongest unit of every dimension stays.

    Without ``left``, one group could drain: removing from it makes all that is coupled to it cheaper, and so less
    worth removing, but not its own units.

    Args:
        units: what may go.
        scores: importance, (units,), at least 0.
        costs: models of the dense network by cost name; they are left at what was chosen.
        limits: upper limits by the same names.
        alpha: 0 ignores costs, 1 is importance for what is saved. On the CIFAR ResNet-56 0.5 kept more than both.
        balance: 0 takes scores as they are, 1 raises them as a group gets smaller.

    Returns:
        Mask of the units to remove, (units,).

    Raises:
        BudgetError: a limit cannot be reached; names the closest value.
    """
    removable = units.prunable & ~_strongest(units, scores)
    _check_reachable(units, removable, costs, limits)
    removed = torch.zeros(len(units), dtype=torch.bool)
    importance = _Importance(units, scores)
    while over := {name: cost.total() - limits[name] for name, cost in costs.items() if cost.total() > limits[name]}:
        savings = {name: costs[name].savings() for name in over}
        saved = torch.stack([savings[name] / limits[name] for name in over]).sum(0)
        candidates = removable & ~removed & (saved > 0)
        fine = candidates.clone()
        for name, excess in over.items():
            fine &= savings[name] <= excess + _OVERSHOOT * limits[name]
        candidates = (fine if bool(fine.any()) else candidates).nonzero().flatten()
        worth = scores / importance.left(removed) ** balance / saved.clamp(min=1e-12) ** alpha
        order = candidates[torch.argsort(worth[candidates], stable=True)]
        enough = min(int((savings[name][order].cumsum(0) <= _STEP * excess).sum()) for name, excess in over.items())
        chosen = torch.zeros_like(removed)
        chosen[order[: max(1, enough)]] = True
        removed |= chosen
        for cost in costs.values():
            cost.remove(chosen)
    _put_back(removed, scores, costs, limits, alpha)
    return removed


class _Importance:
    """How much of each group's importance is left as its units go, the weakest first."""

    def __init__(self, units: Units, scores: Tensor) -> None:
        sizes = torch.tensor([len(group) for group in units.groups])
        self._group = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
        by_score = torch.argsort(scores, stable=True)
        self._order = by_score[torch.argsort(self._group[by_score], stable=True)]
        self._scores = scores
        self._first = torch.cumsum(sizes, 0) - sizes
        self._dense = self._sums(scores).clamp(min=1e-12)

    def _sums(self, values: Tensor) -> Tensor:
        return torch.zeros(len(self._first), dtype=torch.float64).index_add(0, self._group, values)

    def left(self, removed: Tensor) -> Tensor:
        """For each unit the share of its group that is left without it, weaker units and those in ``removed``."""
        there = torch.where(removed, 0.0, self._scores)
        running = torch.cumsum(there[self._order], 0)
        group = self._group[self._order]
        before = torch.cat([torch.zeros(1, dtype=torch.float64), running])[self._first]
        share = (self._sums(there)[group] - (running - before[group])) / self._dense[group]
        return torch.zeros_like(there).index_copy(0, self._order, share).clamp(min=1e-6)


def _strongest(units: Units, scores: Tensor) -> Tensor:
    """Mask of the highest-scoring unit of every dimension that must not become empty."""
    mask = torch.zeros(len(units), dtype=torch.bool)
    for floor in units.floors:
        mask[floor[scores[floor].argmax()]] = True
    return mask


def _put_back(
    removed: Tensor, scores: Tensor, costs: Mapping[str, CostModel], limits: Mapping[str, float], alpha: float
) -> None:
    """Restore units while they fit, those first that matter most for what they cost."""
    while True:
        fits = removed.clone()
        share = torch.zeros_like(scores)
        for name, cost in costs.items():
            gains = cost.gains()
            fits &= gains <= limits[name] - cost.total()
            share += gains / limits[name]
        if not bool(fits.any()):
            return
        worth = torch.where(fits, scores / share.clamp(min=1e-12) ** alpha, -1.0)
        chosen = torch.zeros_like(removed)
        chosen[worth.argmax()] = True
        removed &= ~chosen
        for cost in costs.values():
            cost.restore(chosen)


def _check_reachable(
    units: Units, removable: Tensor, costs: Mapping[str, CostModel], limits: Mapping[str, float]
) -> None:
    for cost in costs.values():
        cost.remove(removable)
    nearest = {name: cost.total() for name, cost in costs.items()}
    for cost in costs.values():
        cost.restore(removable)
    missed = [name for name, limit in limits.items() if nearest[name] > limit]
    if missed:
        frozen = ", ".join(f"{name} ({reason})" for name, reason in units.frozen[:3]) or "no group"
        raise BudgetError(
            "; ".join(
                f"budget {name}: {limits[name]:,.0f} cannot be reached, the closest is {nearest[name]:,.0f}"
                for name in missed
            )
            + f". Every dimension keeps one index, and these stay whole: {frozen}",
            nearest=nearest,
        )
