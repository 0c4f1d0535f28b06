"""Sensitivity of groups: loss and accuracy when units of one group alone are removed, by the number that remains.

Li et al., Pruning Filters for Efficient ConvNets, 2017, section 3.2.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from edgeprune.cost.multilinear import macs
from edgeprune.errors import InputError
from edgeprune.graph import Group, Units
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.masked_execution import MaskedProgram
from edgeprune.model.label_accuracy import LabelAccuracy
from edgeprune.progress import SILENT, Progress
from edgeprune.selection.base import LossCurve
from edgeprune.selection.constraints import Constraint
from edgeprune.selection.pruning_levels import PruningLevels
from edgeprune.statistics import Samples
from edgeprune.statistics.forward_backward import batches, loss_of

RATIOS = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 7 / 8)
"""Shares of a group's units that are removed."""

_Case = tuple[int, int]
"""Index of a group, and how many of its units stay."""


@dataclass(frozen=True)
class ScanPoint:
    """The dense network without some units of one group.

    Attributes:
        ratio: Share of the group's units that was asked to go; where one must stay, or in small groups, not what went.
        kept: Units of the group that stay.
        macs_removed: Share of the dense network's MACs that goes, 0 to 1.
        loss: Mean over the samples.
        accuracy: Share of the samples whose largest output is that of their label, 0 to 1; None where the network does
            not give logits (N, classes), or labels are no classes (N,).
    """

    ratio: float
    kept: int
    macs_removed: float
    loss: float
    accuracy: float | None


@dataclass(frozen=True)
class GroupSensitivity:
    """One prunable group: its name, its number of units, and a point for each ratio."""

    group: str
    units: int
    points: tuple[ScanPoint, ...]


@dataclass(frozen=True)
class SensitivityScan:
    """Loss and accuracy of the dense network, and of the network with fewer units of one group, for each group."""

    samples: int
    loss: float
    accuracy: float | None
    groups: tuple[GroupSensitivity, ...]

    def curves(self, units: Units) -> tuple[LossCurve, ...]:
        """The rise of the loss by group, for ``Problem``: one curve for each group of ``units``, 0 for frozen ones."""
        by_name = {found.group: found.points for found in self.groups}
        return tuple(_curve(group, by_name.get(group.name, ()), self.loss) for group in units.groups)


def measure_sensitivity(
    units: Units, scores: Tensor, samples: Samples, *, ratios: Sequence[float] = RATIOS, progress: Progress = SILENT
) -> SensitivityScan:
    """Loss and accuracy of the dense network without the weakest units of one group, for each group and ratio alone.

    Nothing is repaired or fine-tuned. What comes before a group is computed once a batch, for all groups and ratios.

    Args:
        units: Of the dense network.
        scores: Importance of each unit, (units,): within a group the lowest go first.
        samples: What to measure on.
        ratios: Shares of a group's units to remove, in (0, 1); of every dimension one index stays.
        progress: Advances by samples, once for each group and number of units left.

    Raises:
        InputError: A ratio is out of range, the loss fails on what the network gives, or is not finite.
    """
    if not ratios or not all(0 < ratio < 1 for ratio in ratios):
        raise InputError(f"sensitivity: ratios: got {tuple(ratios)}; each must be in (0, 1), and there must be one")
    ladder = PruningLevels.of(units, scores, [Constraint()] * len(units.groups))
    prunable = [index for index, group in enumerate(units.groups) if group.frozen is None]
    asked = {index: [_kept(ladder, index, ratio) for ratio in ratios] for index in prunable}
    removed = {(index, kept): _removed(ladder, index, kept) for index in prunable for kept in asked[index]}
    gone = {case: units.gone(mask) for case, mask in removed.items()}
    begins = _begins(units, ladder.group)
    behind: dict[fx.Node, list[_Case]] = {}
    for case in removed:
        behind.setdefault(begins[case[0]], []).append(case)
    run = _Branching(units)
    dense, tallies = _Tally(units, samples), {case: _Tally(units, samples) for case in removed}
    progress.start(samples.limit * len(removed))
    with torch.no_grad():
        for inputs, labels, count in batches(units, samples):
            for node in run.nodes(inputs):
                for case in behind.get(node, ()):
                    tallies[case].add(run.branch(node, gone[case]), labels, count)
                    progress.advance(count)
            dense.add(run.given, labels, count)
    shares = _macs_removed(units, removed)

    def point(index: int, ratio: float, kept: int) -> ScanPoint:
        case = index, kept
        where = f"without {len(units.groups[index]) - kept} units of {units.groups[index].name}"
        return ScanPoint(ratio, kept, shares[case], tallies[case].loss(where), tallies[case].accuracy)

    found = tuple(
        GroupSensitivity(
            units.groups[index].name,
            len(units.groups[index]),
            tuple(point(index, ratio, kept) for ratio, kept in zip(ratios, asked[index], strict=True)),
        )
        for index in prunable
    )
    return SensitivityScan(dense.samples, dense.loss("of the dense network"), dense.accuracy, found)


class _Branching(MaskedProgram):
    """The dense program node by node; from any node on it can be run without some coordinates as well."""

    given: Any
    """Outputs of the dense program."""

    def __init__(self, units: Units) -> None:
        super().__init__(units, torch.zeros(len(units), dtype=torch.bool))
        self._order = list(units.coordinates.program.graph.nodes)
        self._position = {node: at for at, node in enumerate(self._order)}

    def nodes(self, inputs: list[Any]) -> Iterator[fx.Node]:
        """Every node in order, each before it is run."""
        self.args_iter, self.env = iter(inputs), {}
        for node in self._order:
            yield node
            self.given = self._step(node)

    def branch(self, begin: fx.Node, gone: Tensor) -> Any:
        """Outputs of the program without the coordinates in the mask ``gone``, which nothing before ``begin`` reads."""
        held = self.env, self.gone
        computed = {node: value for node, value in self.env.items() if node.op != "get_attr"}
        # Copies, as calls may change what they are given in place.
        copies = zip(computed, copy.deepcopy(list(computed.values())), strict=True)
        self.env, self.gone = {**self.env, **dict(copies)}, gone
        try:
            for node in self._order[self._position[begin] :]:
                output = self._step(node)
        finally:
            self.env, self.gone = held
        return output

    def _step(self, node: fx.Node) -> Any:
        value = self.env[node] = self.run_node(node)
        for done in self.user_to_last_uses.get(node, ()):
            del self.env[done]
        return value


class _Tally:
    """Loss and hits over batches; ``accuracy`` is None where labels are not classes."""

    def __init__(self, units: Units, samples: Samples) -> None:
        self._units, self._source = units, samples
        self._loss, self._right = 0.0, LabelAccuracy()
        self.samples = 0

    def add(self, flat: Any, labels: Any, count: int) -> None:
        """Take in what the program gave for a batch of ``count``."""
        outputs = self._units.coordinates.program.graph.process_outputs(flat)
        self._loss += float(loss_of(self._units, self._source, flat, labels)) * count
        self.samples += count
        self._right.add(outputs, labels)

    def loss(self, where: str) -> float:
        mean = self._loss / self.samples
        if not math.isfinite(mean):
            raise InputError(
                f"sensitivity: the loss {where} is {mean}; the network and its data must be finite: check the weights"
            )
        return mean

    @property
    def accuracy(self) -> float | None:
        return self._right.value


def _kept(ladder: PruningLevels, index: int, ratio: float) -> int:
    """Units of a group that stay where ``ratio`` of them are to go."""
    size, fewest = int(ladder.kept[index, 0]), int(ladder.kept[index, -1])
    return max(fewest, size - round(ratio * size))


def _removed(ladder: PruningLevels, index: int, kept: int) -> Tensor:
    """Mask of the units that are gone when ``kept`` of one group stay and all of the others, (units,)."""
    level = torch.zeros_like(ladder.steps)
    level[index] = int((ladder.kept[index] == kept).nonzero()[0])
    return ladder.removed(level)


def _macs_removed(units: Units, removed: Mapping[_Case, Tensor]) -> dict[_Case, float]:
    cost = macs(units)
    dense = cost.total()
    shares = {}
    for case, mask in removed.items():
        left = cost.copy()
        left.remove(mask)
        shares[case] = 1 - left.total() / dense if dense else 0.0
    return shares


def _begins(units: Units, group_of: Tensor) -> list[fx.Node]:
    """For each group the first node that gives something else without some of its units; the output if none does."""
    nodes = list(units.coordinates.program.graph.nodes)
    begins = [nodes[-1]] * len(units.groups)
    for node in reversed(nodes):
        for ids in _read(units, node):
            found = units.unit_of[ids]
            for index in torch.unique(group_of[found[found >= 0]]).tolist():
                begins[index] = node
    return begins


def _read(units: Units, node: fx.Node) -> list[Tensor]:
    """The coordinate ids whose removal the call itself is told of."""
    coupling, known = units.coordinates.coupling, units.coordinates.labels
    if node not in coupling.inexact:
        return [consumption.ids for consumption in coupling.consumed.get(node, ())]
    given = [known.get(source) for source in node.all_input_nodes]
    return [track.ids.flatten() for labels in given if isinstance(labels, Labels) for track in labels.tracks]


def _curve(group: Group, points: Sequence[ScanPoint], dense: float) -> LossCurve:
    rise = {len(group): 0.0, **{point.kept: point.loss - dense for point in points}}
    kept = tuple(sorted(rise))
    return LossCurve(kept, tuple(rise[count] for count in kept))
