"""Sensitivity of groups: loss and accuracy after removal of units of one group alone, by the number of removed units.

1. For each group and ratio, determine the weakest units to remove.
2. For each batch, run the dense network node by node.
3. Before the first node that the removal in a group affects, branch: run the remaining nodes once for each ratio of the
   group, without the removed units.

Complexity: at most groups * ratios forward passes of each batch, without the nodes before each branch.
Source: Li et al., Pruning Filters for Efficient ConvNets, 2017, section 3.2.
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
"""Fractions of the units of a group to remove."""

_Case = tuple[int, int]
"""Index of a group, and the number of its remaining units."""


@dataclass(frozen=True)
class ScanPoint:
    """Measurement of the dense network without some units of one group.

    Attributes:
        ratio: Requested fraction of the units of the group to remove. The actual fraction differs in small
            groups, or if a unit must remain.
        remaining_units: Number of remaining units of the group.
        macs_removed: Removed fraction of the MACs of the dense network, 0 to 1.
        loss: Mean loss over the samples.
        accuracy: Fraction of correctly classified samples, 0 to 1. None if the outputs are not logits (N, classes), or
            the labels are not classes (N,).
    """

    ratio: float
    remaining_units: int
    macs_removed: float
    loss: float
    accuracy: float | None


@dataclass(frozen=True)
class GroupSensitivity:
    """Sensitivity of one prunable group.

    Attributes:
        group: Name of the group.
        units: Number of units of the group.
        points: Measurement for each ratio.
    """

    group: str
    units: int
    points: tuple[ScanPoint, ...]


@dataclass(frozen=True)
class SensitivityScan:
    """Result of a sensitivity scan.

    Attributes:
        samples: Number of samples.
        loss: Mean loss of the dense network.
        accuracy: Accuracy of the dense network, 0 to 1, or None as in ``ScanPoint``.
        groups: Sensitivity of each prunable group.
    """

    samples: int
    loss: float
    accuracy: float | None
    groups: tuple[GroupSensitivity, ...]

    def curves(self, units: Units) -> tuple[LossCurve, ...]:
        """Return the increase of the loss for each group of ``units``, for ``Problem``. It is 0 for frozen groups."""
        by_name = {sensitivity.group: sensitivity.points for sensitivity in self.groups}
        return tuple(_curve(group, by_name.get(group.name, ()), self.loss) for group in units.groups)


def measure_sensitivity(
    units: Units, scores: Tensor, samples: Samples, *, ratios: Sequence[float] = RATIOS, progress: Progress = SILENT
) -> SensitivityScan:
    """Measure loss and accuracy of the dense network without the weakest units of one group, for each group and ratio.

    The pruned networks are neither repaired nor fine-tuned. The nodes before a group are computed once for each batch.

    Args:
        units: Units of the dense network.
        scores: Importance of each unit, (units,). Within a group, units with the lowest scores are removed first.
        samples: Samples on which to measure.
        ratios: Fractions of the units of a group to remove, in (0, 1). One index of each dimension always remains.
        progress: Progress in samples, over all groups and numbers of units.

    Raises:
        InputError: A ratio is out of range, or the loss fails on the outputs of the network or is not finite.
    """
    if not ratios or not all(0 < ratio < 1 for ratio in ratios):
        raise InputError(f"sensitivity: ratios: got {tuple(ratios)}, must be at least one number in (0, 1)")
    pruning_levels = PruningLevels.of(units, scores, [Constraint()] * len(units.groups))
    prunable = [index for index, group in enumerate(units.groups) if group.frozen is None]
    requested_counts = {
        index: [_remaining_units(pruning_levels, index, ratio) for ratio in ratios] for index in prunable
    }
    removed_masks = {
        (index, num_units): _removed_units(pruning_levels, index, num_units)
        for index in prunable
        for num_units in requested_counts[index]
    }
    removed_coordinates = {case: units.removed_ids(mask) for case, mask in removed_masks.items()}
    start_nodes = _start_nodes(units, pruning_levels.group)
    cases_by_node: dict[fx.Node, list[_Case]] = {}
    for case in removed_masks:
        cases_by_node.setdefault(start_nodes[case[0]], []).append(case)
    run = _Branching(units)
    dense, tallies = _Tally(units, samples), {case: _Tally(units, samples) for case in removed_masks}
    progress.start(samples.limit * len(removed_masks))
    with torch.no_grad():
        for inputs, labels, count in batches(units, samples):
            for node in run.nodes(inputs):
                for case in cases_by_node.get(node, ()):
                    tallies[case].add(run.branch(node, removed_coordinates[case]), labels, count)
                    progress.advance(count)
            dense.add(run.dense_outputs, labels, count)
    macs_fractions = _removed_macs_fractions(units, removed_masks)

    def point(index: int, ratio: float, num_units: int) -> ScanPoint:
        case = index, num_units
        where = f"without {len(units.groups[index]) - num_units} units of {units.groups[index].name}"
        return ScanPoint(ratio, num_units, macs_fractions[case], tallies[case].loss(where), tallies[case].accuracy)

    groups = tuple(
        GroupSensitivity(
            units.groups[index].name,
            len(units.groups[index]),
            tuple(
                point(index, ratio, num_units) for ratio, num_units in zip(ratios, requested_counts[index], strict=True)
            ),
        )
        for index in prunable
    )
    return SensitivityScan(dense.samples, dense.loss("of the dense network"), dense.accuracy, groups)


class _Branching(MaskedProgram):
    """Interpreter that runs the dense program node by node, and from any node on without some coordinates."""

    dense_outputs: Any
    """Outputs of the dense program."""

    def __init__(self, units: Units) -> None:
        super().__init__(units, torch.zeros(len(units), dtype=torch.bool))
        self._order = list(units.coordinates.program.graph.nodes)
        self._position = {node: at for at, node in enumerate(self._order)}

    def nodes(self, inputs: list[Any]) -> Iterator[fx.Node]:
        """Yield each node in order, before the node is run."""
        self.args_iter, self.env = iter(inputs), {}
        for node in self._order:
            yield node
            self.dense_outputs = self._step(node)

    def branch(self, begin: fx.Node, removed_coordinates: Tensor) -> Any:
        """Return the outputs of the program without the coordinates in the mask ``removed_coordinates``.

        No node before ``begin`` may read these coordinates.
        """
        saved_state = self.env, self.removed_ids
        computed = {node: value for node, value in self.env.items() if node.op != "get_attr"}
        # Copies, as calls may change their arguments in place.
        copies = zip(computed, copy.deepcopy(list(computed.values())), strict=True)
        self.env, self.removed_ids = {**self.env, **dict(copies)}, removed_coordinates
        try:
            for node in self._order[self._position[begin] :]:
                output = self._step(node)
        finally:
            self.env, self.removed_ids = saved_state
        return output

    def _step(self, node: fx.Node) -> Any:
        value = self.env[node] = self.run_node(node)
        for unused in self.user_to_last_uses.get(node, ()):
            del self.env[unused]
        return value


class _Tally:
    """Loss and accuracy accumulated over batches. ``accuracy`` is None if labels are not classes."""

    def __init__(self, units: Units, samples: Samples) -> None:
        self._units, self._source = units, samples
        self._loss, self._accuracy = 0.0, LabelAccuracy()
        self.samples = 0

    def add(self, flat: Any, labels: Any, count: int) -> None:
        """Add the flat outputs of the program for a batch of ``count`` samples."""
        outputs = self._units.coordinates.program.graph.process_outputs(flat)
        self._loss += float(loss_of(self._units, self._source, flat, labels)) * count
        self.samples += count
        self._accuracy.add(outputs, labels)

    def loss(self, where: str) -> float:
        mean = self._loss / self.samples
        if not math.isfinite(mean):
            raise InputError(
                f"sensitivity: the loss {where} must be finite, got {mean}: check the weights and the data"
            )
        return mean

    @property
    def accuracy(self) -> float | None:
        return self._accuracy.value


def _remaining_units(pruning_levels: PruningLevels, index: int, ratio: float) -> int:
    """Return the number of remaining units of a group if the fraction ``ratio`` is to be removed."""
    size, minimum = int(pruning_levels.unit_counts[index, 0]), int(pruning_levels.unit_counts[index, -1])
    return max(minimum, size - round(ratio * size))


def _removed_units(pruning_levels: PruningLevels, index: int, unit_count: int) -> Tensor:
    """Return the mask of the removed units, (units,), if one group keeps ``unit_count`` units."""
    level = torch.zeros_like(pruning_levels.steps)
    level[index] = int((pruning_levels.unit_counts[index] == unit_count).nonzero()[0])
    return pruning_levels.removed(level)


def _removed_macs_fractions(units: Units, removed_masks: Mapping[_Case, Tensor]) -> dict[_Case, float]:
    cost = macs(units)
    dense = cost.total()
    macs_removed = {}
    for case, mask in removed_masks.items():
        remaining_cost = cost.copy()
        remaining_cost.remove(mask)
        macs_removed[case] = 1 - remaining_cost.total() / dense if dense else 0.0
    return macs_removed


def _start_nodes(units: Units, group_of: Tensor) -> list[fx.Node]:
    """Return for each group the first node whose value depends on its units, or the output node if there is none."""
    nodes = list(units.coordinates.program.graph.nodes)
    start_nodes = [nodes[-1]] * len(units.groups)
    for node in reversed(nodes):
        for ids in _read(units, node):
            unit_ids = units.unit_of[ids]
            for index in torch.unique(group_of[unit_ids[unit_ids >= 0]]).tolist():
                start_nodes[index] = node
    return start_nodes


def _read(units: Units, node: fx.Node) -> list[Tensor]:
    """Return the ids of the coordinates whose removal changes the call itself."""
    coupling, node_labels = units.coordinates.coupling, units.coordinates.labels
    if node not in coupling.inexact:
        return [consumption.ids for consumption in coupling.consumed.get(node, ())]
    inputs = [node_labels.get(source) for source in node.all_input_nodes]
    return [track.ids.flatten() for labels in inputs if isinstance(labels, Labels) for track in labels.tracks]


def _curve(group: Group, points: Sequence[ScanPoint], dense: float) -> LossCurve:
    increase = {len(group): 0.0, **{point.remaining_units: point.loss - dense for point in points}}
    counts = tuple(sorted(increase))
    return LossCurve(counts, tuple(increase[count] for count in counts))
