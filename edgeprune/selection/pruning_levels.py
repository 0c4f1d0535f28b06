"""Pruning levels: the allowed numbers of remaining units of each group, and the units that each level removes.

1. Protect the unit with the highest score of each dimension that must not become empty.
2. Sort the units of each group by score, protected units last.
3. Each allowed number of remaining units is a level. Level 0 has the most units, and each further level fewer.
4. The units that one level removes in addition to the previous level form a block.

Complexity: O(units * log(units)).
"""

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
    """Pruning levels of all groups, and the block of units between two levels.

    Within a group, units are removed in ascending order of their scores. Level 0 keeps the largest allowed number of
    units, level ``steps`` the smallest. Tensors of blocks have the shape (groups, steps). Entry ``[group, step - 1]``
    is the block that step ``step`` removes, from level ``step - 1`` to level ``step``. Groups with fewer steps are
    padded.

    Attributes:
        unit_counts: Number of remaining units at each level, (groups, steps + 1), padded with the last number.
        steps: Number of steps of each group, (groups,).
        group: Index of the group of each unit, (units,).
        step: Step that removes each unit, (units,). 0 means always removed. A step above the steps of the group means
            never removed.
    """

    unit_counts: Tensor
    steps: Tensor
    group: Tensor
    step: Tensor

    @staticmethod
    def of(units: Units, scores: Tensor, constraints: Sequence[Constraint]) -> PruningLevels:
        """Return the pruning levels of ``units``, removed in ascending order of ``scores``, (units,).

        Raises:
            InputError: A constraint cannot be satisfied.
        """
        protected = _strongest(units, scores)
        step = torch.zeros(len(units), dtype=torch.long)
        counts_of_groups = []
        for group, constraint in zip(units.groups, constraints, strict=True):
            own = slice(group.start, group.stop)
            minimum = int(protected[own].sum())
            counts = [count for count in constraint.allowed_counts(group) if count >= minimum]
            if not counts:
                raise InputError(
                    f"prune.layers: max_units allows {group.name} at most {constraint.max_units} units, but {minimum} "
                    "must remain so that no dimension becomes empty: raise max_units"
                )
            by_score = torch.argsort(scores[own], stable=True)
            order = group.start + by_score[torch.argsort(protected[own][by_score].long(), stable=True)]
            num_removed = len(group) - torch.tensor(counts)
            step[order] = torch.searchsorted(num_removed, torch.arange(len(group)), right=True)
            counts_of_groups.append(torch.tensor(counts))
        steps = torch.tensor([len(counts) - 1 for counts in counts_of_groups], dtype=torch.long)
        max_steps = max([1, *(len(counts) - 1 for counts in counts_of_groups)])
        padded = [torch.cat([counts, counts[-1:].expand(max_steps + 1 - len(counts))]) for counts in counts_of_groups]
        return PruningLevels(
            torch.stack(padded) if padded else torch.zeros(0, 2, dtype=torch.long), steps, units.group_of, step
        )

    @property
    def exists(self) -> Tensor:
        """Mask of the blocks that are not padding, (groups, steps)."""
        return torch.arange(self.unit_counts.shape[1] - 1) < self.steps[:, None]

    @property
    def sizes(self) -> Tensor:
        """Number of units in each block, (groups, steps)."""
        return self.unit_counts[:, :-1] - self.unit_counts[:, 1:]

    def blocks(self, values: Tensor) -> Tensor:
        """Return the sum over each block, (groups, steps), of the ``values`` of its units, (units,)."""
        sums = torch.zeros(self.unit_counts.shape[0], self.unit_counts.shape[1] - 1, dtype=values.dtype)
        in_block = (self.step > 0) & (self.step <= self.steps[self.group])
        return sums.index_put((self.group[in_block], self.step[in_block] - 1), values[in_block], accumulate=True)

    def removed(self, level: Tensor) -> Tensor:
        """Return the mask of the removed units, (units,), with each group at its ``level``, (groups,)."""
        return self.step <= level[self.group]

    def after(self, level: Tensor, blocks: Tensor) -> Tensor:
        """Return the levels, (groups,), after removal of ``blocks`` and of the blocks that precede them in their group.

        Args:
            level: Current level of each group, (groups,).
            blocks: Indices into the flattened blocks.
        """
        max_steps = self.unit_counts.shape[1] - 1
        return level.scatter_reduce(0, blocks // max_steps, blocks % max_steps + 1, "amax")


def _strongest(units: Units, scores: Tensor) -> Tensor:
    """Return the mask of the highest-scoring unit of each dimension that must not become empty, (units,)."""
    mask = torch.zeros(len(units), dtype=torch.bool)
    for members in units.floors:
        mask[members[scores[members].argmax()]] = True
    return mask
