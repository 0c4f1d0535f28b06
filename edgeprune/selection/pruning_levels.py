"""The steps by which each group may shrink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgeprune.errors import InputError
from edgeprune.graph import Units
from edgeprune.selection.constraints import Constraint


@dataclass(frozen=True, eq=False)
class PruningLevels:
    """For each group the numbers of units that may stay, and the block of units that goes with each step down.

    Within a group the weakest units go first. Of every dimension that must not become empty the strongest stays. Level
    0 is the most that may stay, level ``steps`` the least. What is said of blocks has the shape (groups, steps): entry
    ``[group, step - 1]`` is the block that goes with that step, and groups with fewer steps are padded.

    Attributes:
        kept: Units of each group that stay at each level, (groups, steps + 1); padded with the last.
        steps: How many steps each group has, (groups,).
        group: The group of each unit, (units,).
        step: The step with which each unit goes, (units,): 0 at once, more than its group has never.
    """

    kept: Tensor
    steps: Tensor
    group: Tensor
    step: Tensor

    @staticmethod
    def of(units: Units, scores: Tensor, constraints: Sequence[Constraint]) -> PruningLevels:
        """The ladder of ``units`` that are removed in the order of ``scores``, (units,).

        Raises:
            InputError: a constraint cannot be kept.
        """
        protected = _strongest(units, scores)
        step = torch.zeros(len(units), dtype=torch.long)
        kept = []
        for group, constraint in zip(units.groups, constraints, strict=True):
            own = slice(group.start, group.stop)
            held = int(protected[own].sum())
            counts = [count for count in constraint.kept(group) if count >= held]
            if not counts:
                raise InputError(
                    f"prune.layers: max_units allows {group.name} at most {constraint.max_units} units, but {held} "
                    "must stay so that no dimension becomes empty; raise max_units"
                )
            by_score = torch.argsort(scores[own], stable=True)
            order = group.start + by_score[torch.argsort(protected[own][by_score].long(), stable=True)]
            gone = len(group) - torch.tensor(counts)
            step[order] = torch.searchsorted(gone, torch.arange(len(group)), right=True)
            kept.append(torch.tensor(counts))
        steps = torch.tensor([len(counts) - 1 for counts in kept], dtype=torch.long)
        widest = max([1, *(len(counts) - 1 for counts in kept)])
        padded = [torch.cat([counts, counts[-1:].expand(widest + 1 - len(counts))]) for counts in kept]
        return PruningLevels(
            torch.stack(padded) if padded else torch.zeros(0, 2, dtype=torch.long), steps, units.group_of, step
        )

    @property
    def exists(self) -> Tensor:
        """Mask of the blocks that are no padding, (groups, steps)."""
        return torch.arange(self.kept.shape[1] - 1) < self.steps[:, None]

    @property
    def sizes(self) -> Tensor:
        """Units in each block, (groups, steps)."""
        return self.kept[:, :-1] - self.kept[:, 1:]

    def blocks(self, values: Tensor) -> Tensor:
        """The sums of ``values`` of units, (units,), over each block: (groups, steps)."""
        sums = torch.zeros(self.kept.shape[0], self.kept.shape[1] - 1, dtype=values.dtype)
        goes = (self.step > 0) & (self.step <= self.steps[self.group])
        return sums.index_put((self.group[goes], self.step[goes] - 1), values[goes], accumulate=True)

    def removed(self, level: Tensor) -> Tensor:
        """Mask of the units that are gone when each group is at its ``level``, (groups,): (units,)."""
        return self.step <= level[self.group]

    def after(self, level: Tensor, blocks: Tensor) -> Tensor:
        """The levels once ``blocks``, indices into the flattened blocks, and what must go before them are gone too."""
        widest = self.kept.shape[1] - 1
        return level.scatter_reduce(0, blocks // widest, blocks % widest + 1, "amax")


def _strongest(units: Units, scores: Tensor) -> Tensor:
    """Mask of the highest-scoring unit of every dimension that must not become empty."""
    mask = torch.zeros(len(units), dtype=torch.bool)
    for floor in units.floors:
        mask[floor[scores[floor].argmax()]] = True
    return mask
