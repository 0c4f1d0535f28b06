"""Bounds for constant masks of attention in int8: values such as -inf become values that int8 can store.

A mask is added to the scores before a SOFTMAX. It must make the weights of masked positions zero, but a range down to
-inf, or to -10,000, would leave no steps for the scores. EdgePrune therefore ends the range at

    lowest maximum of all rows - 6 - log(row length),

so that all masked positions of a row together have a weight below exp(-6) = 0.25 %, less than a step of the int8
result, and clips the mask such that every masked sum is at or below this end. Other scores below this end are clipped,
too, which changes the result by no more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeprune.tflite.tflite_file import operator_name
from edgeprune.tflite.tflite_schema import schema

_MARGIN = 6.0
_LARGE = 100.0
"""Magnitude from which an addend is a mask: no other constant is so much smaller than the scores of attention."""
Array = NDArray[Any]


@dataclass
class AttentionMask:
    """Constant mask, and the scores to which it is added.

    Attributes:
        constant: Tensor index of the mask.
        scores: Tensor index of the scores without the mask.
        sums: Tensor indices of the masked scores, from the sum to the input of SOFTMAX.
        row_length: Number of scores of a row.
        lowest_maximum: Smallest maximum of all rows that were observed.
    """

    constant: int
    scores: int
    sums: list[int]
    row_length: int
    lowest_maximum: float = field(default=inf)

    def observe(self, masked: Array) -> None:
        """Take the masked scores of a sample, in rows, into account."""
        self.lowest_maximum = min(self.lowest_maximum, float(masked.max(axis=-1).min()))

    @property
    def end(self) -> float:
        """Lower end of the range of the masked scores."""
        return self.lowest_maximum - _MARGIN - log(self.row_length)


def find_masks(model: schema.ModelT) -> list[AttentionMask]:
    """Return the sums of scores and a constant mask that only a SOFTMAX reads, perhaps after a RESHAPE.

    The constant has no other readers.
    """
    graph = model.subgraphs[0]
    readers: dict[int, list[Any]] = {}
    for op in graph.operators:
        for index in op.inputs:
            readers.setdefault(int(index), []).append(op)
    masks = []
    for op in graph.operators:
        if operator_name(model, op) != "ADD":
            continue
        constants = [int(index) for index in op.inputs if _values(model, int(index)) is not None]
        if len(constants) != 1 or _lowest(model, constants[0]) > -_LARGE:
            continue
        sums = [int(op.outputs[0])]
        while True:
            users = readers.get(sums[-1], [])
            if len(users) != 1 or sums[-1] in graph.outputs:
                break
            kind = operator_name(model, users[0])
            if kind == "SOFTMAX":
                (scores,) = (int(index) for index in op.inputs if int(index) != constants[0])
                masks.append(AttentionMask(constants[0], scores, sums, int(graph.tensors[sums[-1]].shape[-1])))
            if kind != "RESHAPE":
                break
            sums.append(int(users[0].outputs[0]))
    uses = Counter(mask.constant for mask in masks)
    return [mask for mask in masks if len(readers[mask.constant]) == uses[mask.constant]]


def bound_masks(
    model: schema.ModelT, masks: Iterable[AttentionMask], lowest: Mapping[int, float], highest: Mapping[int, float]
) -> dict[int, float]:
    """Clip the masks in ``model``, and return the lower end of the range of each masked sum.

    Args:
        model: Model, which is changed.
        masks: Masks with observed scores. A mask with a row that is masked as a whole is not changed.
        lowest: Smallest value of each activation.
        highest: Largest value of each activation.
    """
    bounds: dict[int, float] = {}
    ends: dict[int, float] = {}
    for mask in masks:
        if not np.isfinite(mask.end):
            continue
        bounds[mask.constant] = min(bounds.get(mask.constant, inf), mask.end - highest[mask.scores])
        ends.update({index: max(mask.end, lowest[index]) for index in mask.sums})
    for constant, bound in bounds.items():
        values = _values(model, constant)
        assert values is not None
        tensors = model.subgraphs[0].tensors
        old = tensors[constant].buffer
        model.buffers.append(schema.BufferT(data=np.maximum(values, np.float32(bound)).view(np.uint8)))
        tensors[constant].buffer = len(model.buffers) - 1
        if all(tensor.buffer != old for tensor in tensors):
            model.buffers[old].data = None
    return ends


def _values(model: schema.ModelT, index: int) -> Array | None:
    """Return the values of a constant of floats; None for another tensor."""
    tensor = model.subgraphs[0].tensors[index] if index >= 0 else None
    if tensor is None or tensor.type != schema.TensorType.FLOAT32 or model.buffers[tensor.buffer].data is None:
        return None
    return np.frombuffer(bytes(model.buffers[tensor.buffer].data), np.float32)


def _lowest(model: schema.ModelT, index: int) -> float:
    values = _values(model, index)
    return inf if values is None else float(values.min(initial=inf))
