"""Pointwise operators, which combine elements at the same position. Broadcasting determines the tied dimensions."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from edgeprune.graph.coupling import Coupling
from edgeprune.graph.graph_operators import operator_name, schema
from edgeprune.graph.index_labels import Labels
from edgeprune.graph.operator_call import Call
from edgeprune.graph.rules.base import Rule, register

_FIXED = "combined with data whose size is fixed"


@register
class Identity(Rule):
    """Operators that return their first argument: copies, conversions, and dropout in evaluation mode."""

    ops = (
        "aten.alias",
        "aten.alpha_dropout",
        "aten.clone",
        "aten.contiguous",
        "aten.detach",
        "aten.dropout",
        "aten.feature_alpha_dropout",
        "aten.feature_dropout",
        "aten.lift_fresh",
        "aten.lift_fresh_copy",
        "aten.to",
        "aten._to_copy",
        "aten.type_as",
    )

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        return call.tensor(call.first)


@register
class Pointwise(Rule):
    """Operators with ``torch.Tag.pointwise`` (see ``is_pointwise``), and the ones listed here, which lack the tag."""

    ops: ClassVar[tuple[str, ...]] = (
        "aten.copy",
        "aten.empty_like",
        "aten.fill",
        "aten.floor_divide",
        "aten.full_like",
        "aten.hardswish",
        "aten.masked_fill",
        "aten.ones_like",
        "aten.relu6",
        "aten.rsub",
        "aten.true_divide",
        "aten.where",
        "aten.zero",
        "aten.zeros_like",
    )

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        return join(coupling, call.tensors, call.out_shape)


@register
class Broadcast(Rule):
    """``broadcast_tensors``, which expands all arguments to one shape and is used by ``torch.distributions``."""

    ops = ("aten.broadcast_tensors",)

    def couple(self, call: Call, coupling: Coupling) -> list[Labels]:
        return [join(coupling, call.tensors, call.out_shape)] * len(call.out_shapes)


def is_pointwise(target: Any) -> bool:
    """Return whether the operator, or the out-of-place variant of an in-place operator, has ``torch.Tag.pointwise``."""
    if torch.Tag.pointwise in target.tags:
        return True
    namespace, _, name = operator_name(target).partition(".")
    other = getattr(getattr(getattr(torch.ops, namespace), name, None), schema(target).overload_name or "default", None)
    return other is not None and torch.Tag.pointwise in other.tags


def join(coupling: Coupling, operands: list[Labels], shape: tuple[int, ...]) -> Labels:
    """Return the labels of the elementwise combination of tensors, broadcast to ``shape``."""
    channels = _channels_of_layers(coupling, operands)
    resolved = [
        coupling.resolve(labels, reason=_FIXED, preferred=[dim + len(labels.shape) for dim in channels])
        for labels in operands
    ]
    vectors: dict[int, Tensor | None] = {}
    for dim, size in enumerate(shape):
        operand_ids = [
            operand_vectors.get(dim - len(shape) + len(labels.shape))
            for labels, operand_vectors in zip(operands, resolved, strict=True)
            if dim - len(shape) + len(labels.shape) >= 0 and labels.shape[dim - len(shape)] == size > 1
        ]
        vectors[dim] = coupling.tie(*operand_ids, reason=_FIXED)
    return Labels.of(shape, vectors)


def _channels_of_layers(coupling: Coupling, operands: list[Labels]) -> set[int]:
    """Return the channels of layers among the dimensions, counted from the last one, if an operand has split ones."""
    if not any(len(track.dims) > 1 for labels in operands for track in labels.tracks):
        return set()
    return {dim - len(labels.shape) for labels in operands for dim in coupling.channels_of_layers(labels)}


@register
class PRelu(Rule):
    """PReLU. ``weight`` has one entry, or one for each channel (dimension 1)."""

    ops = ("aten.prelu", "aten._prelu_kernel")

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        labels, weight = call.tensor("self"), call.tensor("weight")
        vectors: dict[int, Tensor | None] = dict(coupling.resolve(labels, reason=_FIXED))
        if len(weight.shape) == 1 and weight.shape[0] > 1:
            vectors[1] = coupling.tie(vectors.get(1), weight.vector(0), reason=_FIXED)
        return Labels.of(labels.shape, vectors)


@register
class GatedLinearUnit(Rule):
    """``glu``, which multiplies the first half of a dimension by the sigmoid of the second half."""

    ops = ("aten.glu",)

    def couple(self, call: Call, coupling: Coupling) -> Labels:
        labels = call.tensor("self")
        vectors: dict[int, Tensor | None] = dict(coupling.resolve(labels, reason=_FIXED))
        dim = call["dim"] % len(labels.shape)
        ids = vectors.get(dim)
        if ids is not None:
            vectors[dim] = coupling.tie(*ids.chunk(2), reason=_FIXED)
        return Labels.of(call.out_shape, vectors)
