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
from edgeprune.graph.units import shape_left
from edgeprune.operator_facts.aten_operators import ATEN

_CHANNEL_BYTES = 8
"""That TFLite Micro's kernels keep of every channel that a layer makes: an int32 multiplier and an int32 shift."""


@dataclass(frozen=True)
class Activation:
    """A tensor of the network that has memory of its own, from call ``made`` to its last reader, call ``read``."""

    made: int
    read: int
    labels: Labels
    element_bytes: int


def activations(units: Units, *, fused: bool = False) -> Iterator[Activation]:
    """All of them. Views and in-place results share the memory of what they come from; weights do not count.

    ``fused``: neither do BatchNorm layers and activations that a TFLite file has in the operator before them.
    """
    coordinates = units.coordinates
    owner: dict[fx.Node, fx.Node] = {}
    made: dict[fx.Node, int] = {}
    last: dict[fx.Node, int] = {}
    for index, node in enumerate(coordinates.program.graph.nodes):
        source = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        shares = aliases(node) or (fused and source is not None and _fuses(node, source))
        owner[node] = owner[source] if source is not None and shares else node
        made.setdefault(owner[node], index)
        for read in (node, *node.all_input_nodes):
            last[owner[read]] = index
    for node, index in made.items():
        if node.op in ("get_attr", "output"):
            continue
        value, labels = node.meta.get("val"), coordinates.labels.get(node)
        values = value if isinstance(value, (list, tuple)) else [value]
        for item, found in zip(values, labels if isinstance(labels, list) else [labels], strict=False):
            if isinstance(item, torch.Tensor) and isinstance(found, Labels):
                yield Activation(index, last[node], found, item.element_size())


def _fuses(node: fx.Node, source: fx.Node) -> bool:
    if not (is_operator_call(node) and is_operator_call(source) and len(source.users) == 1):
        return False
    after, before = ATEN[operator_name(node.target)], ATEN[operator_name(source.target)]
    folds = after.folds_into_layer and before.layer is not None
    return folds or (after.fuses_into_producer and before.takes_activation)


def peak_activation_bytes(units: Units, removed: Tensor) -> int:
    """Bytes of the live activations at the worst call, when the units in the mask ``removed`` are gone.

    Counted tensor by tensor; ``PeakActivation`` gives the same for all units at once. The network's inputs and outputs
    count, its weights do not.
    """
    gone = units.gone(removed)
    change: dict[int, int] = {}
    for tensor in activations(units):
        size = math.prod(shape_left(tensor.labels, gone)) * tensor.element_bytes
        change[tensor.made] = change.get(tensor.made, 0) + size
        change[tensor.read + 1] = change.get(tensor.read + 1, 0) - size
    live = peak = 0
    for _, step in sorted(change.items()):
        live += step
        peak = max(peak, live)
    return peak


class _Peak(CostModel):
    """A maximum over calls of sums over what is alive then.

    Args:
        units: Of the network.
        sizes: Bytes of each thing that lives.
        made: The call from which on it does.
        after: The first call at which it does not any more.
    """

    def __init__(self, units: Units, sizes: Sequence[Product], made: Sequence[int], after: Sequence[int]) -> None:
        super().__init__(MultilinearTerms(units, sizes))
        self._made = torch.tensor(made, dtype=torch.long)
        self._after = torch.tensor(after, dtype=torch.long)
        self._calls = max(after, default=0)

    def total(self) -> float:
        return float(self._live(self.terms).max())

    def totals(self, left: Tensor) -> Tensor:
        return self._live(self.terms.at(left)).amax(-1)

    def as_largest_sum(self) -> tuple[Tensor, float]:
        call = torch.arange(self._calls)[:, None]
        return ((self._made <= call) & (call < self._after)).double(), 0.0

    def savings(self, limit: float = -math.inf) -> Tensor:
        """The mean, over the calls whose live bytes are above ``limit``, of what goes there.

        Without a limit, or where none is above it: over the calls of the peak.
        """
        live = self._live(self.terms)
        over = live > limit
        if math.isinf(limit) or not bool(over.any()):
            over = live == live.max()
        before = torch.cat([torch.zeros(1, dtype=torch.float64), over.double().cumsum(0)])
        weight = (before[self._after] - before[self._made]) / over.sum()
        return self.terms.per_unit(self.terms.lost() * weight[self.terms.pair_term])

    def gains(self) -> Tensor:
        terms, live = self.terms, self._live(self.terms)
        more = torch.zeros(terms.classes, self._calls + 1, dtype=torch.float64)
        gained = terms.gained()
        more.index_put_((terms.pair_class, self._made[terms.pair_term]), gained, accumulate=True)
        more.index_put_((terms.pair_class, self._after[terms.pair_term]), -gained, accumulate=True)
        return ((more.cumsum_(1)[:, :-1] + live).amax(1) - live.max())[terms.class_of]

    def _live(self, terms: MultilinearTerms) -> Tensor:
        """Bytes alive at each call, (calls,); (n, calls) for terms at many sizes."""
        sizes = terms.values()
        change = torch.zeros(*sizes.shape[:-1], self._calls + 1, dtype=torch.float64)
        change.index_add_(-1, self._made, sizes)
        change.index_add_(-1, self._after, -sizes)
        return change.cumsum(-1)[..., :-1]


class PeakActivation(_Peak):
    """``peak_activation_bytes`` as a function of the units that are left."""

    def __init__(self, units: Units) -> None:
        tensors = list(activations(units))
        sizes = [elements(units, tensor.labels, tensor.element_bytes) for tensor in tensors]
        super().__init__(units, sizes, [tensor.made for tensor in tensors], [tensor.read + 1 for tensor in tensors])


class Int8Arena(_Peak):
    """The part of an int8 network's arena in TFLite Micro that depends on its channels.

    The largest sum of int8 activations that are alive at once, after fusing, and what kernels keep of each channel from
    the first inference to the last. Neither gaps between activations nor what does not depend on channels are in it.
    """

    def __init__(self, units: Units) -> None:
        tensors = list(activations(units, fused=True))
        sizes = [elements(units, tensor.labels) for tensor in tensors]
        made, after = [tensor.made for tensor in tensors], [tensor.read + 1 for tensor in tensors]
        kept = list(_channels(units))
        end = max(after, default=0)
        super().__init__(units, [*sizes, *kept], [*made, *[0] * len(kept)], [*after, *[end] * len(kept)])


def _channels(units: Units) -> Iterator[Product]:
    """Bytes that kernels keep for each channel of a layer's outputs."""
    coordinates = units.coordinates
    for node in coordinates.program.graph.nodes:
        labels = coordinates.labels.get(node)
        layer = ATEN[operator_name(node.target)].layer if is_operator_call(node) else None
        if layer is not None and isinstance(labels, Labels):
            channel = len(labels.shape) - 1 if layer == "linear" else 1
            ids = labels.vector(channel)
            yield Product(_CHANNEL_BYTES * (labels.shape[channel] if ids is None else 1), () if ids is None else (ids,))
