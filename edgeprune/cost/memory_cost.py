"""Activation memory: the largest sum of tensors that are alive at once, over the order of execution."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from edgeprune.cost.base import CostModel
from edgeprune.cost.multilinear_terms import MultilinearTerms, elements
from edgeprune.graph import Units
from edgeprune.graph.coupling import Product
from edgeprune.graph.graph_operators import aliases, is_operator_call, operator_name
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.units import remaining_shape
from edgeprune.operator_facts.aten_operators import ATEN

_CHANNEL_BYTES = 8
"""Bytes that the kernels of TFLite Micro store for each output channel: an int32 multiplier and an int32 shift."""


@dataclass(frozen=True)
class Activation:
    """Tensor of the network with separate memory.

    Attributes:
        creator: Index of the call that creates the tensor.
        last_reader: Index of the last call that reads it.
        labels: Labels of the tensor.
        element_bytes: Size of one element in bytes.
    """

    creator: int
    last_reader: int
    labels: Labels
    element_bytes: int


def activations(units: Units, *, fused: bool = False) -> Iterator[Activation]:
    """Yield the activations of a program. Weights are not counted. Views and in-place results share memory.

    ``fused`` also excludes BatchNorm layers and activations that a TFLite file fuses into the preceding operator.
    """
    coordinates = units.coordinates
    owner: dict[fx.Node, fx.Node] = {}
    creator: dict[fx.Node, int] = {}
    last_reader: dict[fx.Node, int] = {}
    for index, node in enumerate(coordinates.program.graph.nodes):
        source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        shares = aliases(node) or (fused and source is not None and _fuses(node, source))
        owner[node] = owner[source] if source is not None and shares else node
        creator.setdefault(owner[node], index)
        for read in (node, *node.all_input_nodes):
            last_reader[owner[read]] = index
    for node, index in creator.items():
        if node.op in ("get_attr", "output"):
            continue
        value, labels = node.meta.get("val"), coordinates.labels.get(node)
        values = value if isinstance(value, (list, tuple)) else [value]
        for item, item_labels in zip(values, labels if isinstance(labels, list) else [labels], strict=False):
            if isinstance(item, torch.Tensor) and isinstance(item_labels, Labels):
                yield Activation(index, last_reader[node], item_labels, item.element_size())


def _fuses(node: fx.Node, source: fx.Node) -> bool:
    if not (is_operator_call(node) and is_operator_call(source) and len(source.users) == 1):
        return False
    after, before = ATEN[operator_name(node.target)], ATEN[operator_name(source.target)]
    folds = after.folds_into_layer and before.layer is not None
    return folds or (after.fuses_into_producer and before.takes_activation)


def peak_activation_bytes(units: Units, removed: Tensor) -> int:
    """Return the largest size of live activations in bytes, after removal of the units in the mask ``removed``.

    Inputs and outputs of the network are counted, weights are not. ``PeakActivation`` is the corresponding cost model.
    """
    removed_ids = units.removed_ids(removed)
    change: dict[int, int] = {}
    for tensor in activations(units):
        size = math.prod(remaining_shape(tensor.labels, removed_ids)) * tensor.element_bytes
        change[tensor.creator] = change.get(tensor.creator, 0) + size
        change[tensor.last_reader + 1] = change.get(tensor.last_reader + 1, 0) - size
    live = peak = 0
    for _, step in sorted(change.items()):
        live += step
        peak = max(peak, live)
    return peak


class _Peak(CostModel):
    """Maximum over calls of the sum of the live objects.

    Args:
        units: Units of the network.
        sizes: Size of each object in bytes.
        first_calls: Index of the first call at which each object is alive.
        end_calls: Index of the first call at which each object is no longer alive.
    """

    def __init__(
        self, units: Units, sizes: Sequence[Product], first_calls: Sequence[int], end_calls: Sequence[int]
    ) -> None:
        super().__init__(MultilinearTerms(units, sizes))
        self._first_calls = torch.tensor(first_calls, dtype=torch.long)
        self._end_calls = torch.tensor(end_calls, dtype=torch.long)
        self._calls = max(end_calls, default=0)

    def total(self) -> float:
        return float(self._live(self.terms).max())

    def totals(self, remaining: Tensor) -> Tensor:
        return self._live(self.terms.at(remaining)).amax(-1)

    def as_largest_sum(self) -> tuple[Tensor, float]:
        call = torch.arange(self._calls)[:, None]
        return ((self._first_calls <= call) & (call < self._end_calls)).double(), 0.0

    def savings(self, limit: float = -math.inf) -> Tensor:
        """Return the mean reduction over the calls whose live bytes are above ``limit``, (units,).

        Without a limit, or without calls above it, the mean is over the calls at the peak.
        """
        live = self._live(self.terms)
        over = live > limit
        if math.isinf(limit) or not bool(over.any()):
            over = live == live.max()
        before = torch.cat([torch.zeros(1, dtype=torch.float64), over.double().cumsum(0)])
        weight = (before[self._end_calls] - before[self._first_calls]) / over.sum()
        return self.terms.per_unit(self.terms.decrease() * weight[self.terms.pair_term])

    def gains(self) -> Tensor:
        terms, live = self.terms, self._live(self.terms)
        more = torch.zeros(terms.classes, self._calls + 1, dtype=torch.float64)
        increase = terms.increase()
        more.index_put_((terms.pair_class, self._first_calls[terms.pair_term]), increase, accumulate=True)
        more.index_put_((terms.pair_class, self._end_calls[terms.pair_term]), -increase, accumulate=True)
        return ((more.cumsum_(1)[:, :-1] + live).amax(1) - live.max())[terms.class_of]

    def _live(self, terms: MultilinearTerms) -> Tensor:
        """Return the live bytes at each call, (calls,), or (n, calls) for terms with many sizes."""
        sizes = terms.values()
        change = torch.zeros(*sizes.shape[:-1], self._calls + 1, dtype=torch.float64)
        change.index_add_(-1, self._first_calls, sizes)
        change.index_add_(-1, self._end_calls, -sizes)
        return change.cumsum(-1)[..., :-1]


class PeakActivation(_Peak):
    """Cost model of ``peak_activation_bytes``."""

    def __init__(self, units: Units) -> None:
        tensors = list(activations(units))
        sizes = [elements(units, tensor.labels, tensor.element_bytes) for tensor in tensors]
        super().__init__(
            units, sizes, [tensor.creator for tensor in tensors], [tensor.last_reader + 1 for tensor in tensors]
        )


class Int8Arena(_Peak):
    """Part of the TFLite Micro arena of an int8 network that depends on its channels.

    It is the largest sum of live int8 activations after fusion, plus the persistent data of the kernels for each
    channel. Gaps between activations and parts that do not depend on channels are not included.
    """

    def __init__(self, units: Units) -> None:
        tensors = list(activations(units, fused=True))
        sizes = [elements(units, tensor.labels) for tensor in tensors]
        first_calls, end_calls = [tensor.creator for tensor in tensors], [tensor.last_reader + 1 for tensor in tensors]
        channels = list(_channels(units))
        end = max(end_calls, default=0)
        super().__init__(
            units, [*sizes, *channels], [*first_calls, *[0] * len(channels)], [*end_calls, *[end] * len(channels)]
        )


def _channels(units: Units) -> Iterator[Product]:
    """Yield the bytes that kernels store for each output channel of a layer."""
    coordinates = units.coordinates
    for node in coordinates.program.graph.nodes:
        labels = coordinates.labels.get(node)
        layer = ATEN[operator_name(node.target)].layer if is_operator_call(node) else None
        if layer is not None and isinstance(labels, Labels):
            channel = len(labels.shape) - 1 if layer == "linear" else 1
            ids = labels.vector(channel)
            yield Product(_CHANNEL_BYTES * (labels.shape[channel] if ids is None else 1), () if ids is None else (ids,))
