"""Copies of boxes: parts of tensors with a step for each dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from edgeprune.backends.c.int8_network import Tensor
from edgeprune.backends.c.layer import Layer, Place
from edgeprune.errors import ModelError

_RANK = 5
"""Dimensions of the kernel, besides the innermost one."""


@dataclass(frozen=True)
class Box:
    """Part of a tensor.

    Attributes:
        tensor: The tensor.
        start: Index of the first element.
        steps: Elements to the next index of each dimension of the box.
    """

    tensor: Tensor
    start: int
    steps: Sequence[int]

    @staticmethod
    def whole(tensor: Tensor) -> Box:
        """Return the box of all elements."""
        return Box(tensor, 0, steps_of(tensor.shape))


def steps_of(shape: Sequence[int]) -> list[int]:
    """Return the number of elements to the next index of each dimension of a contiguous tensor."""
    return [prod(shape[axis + 1 :]) for axis in range(len(shape))]


def copy_box(layer: Layer, source: Box, output: Box, sizes: Sequence[int]) -> None:
    """Add a copy of a box of ``sizes``. Dimensions that are contiguous on both sides become one piece.

    Raises:
        ModelError: The box has more dimensions than the kernel, or is not inside both tensors.
    """
    for box in (source, output):
        ends = [(size - 1) * step for size, step in zip(sizes, box.steps, strict=True)]
        least, most = (box.start + sum(end for end in ends if (end > 0) == high) for high in (False, True))
        if least < 0 or most >= box.tensor.elements:
            raise ModelError(
                f"{layer.step.name} moves elements beyond '{box.tensor.name}' {box.tensor.shape}: "
                "convert the model again"
            )
    each = source.tensor.dtype.itemsize
    dims = [dim for dim in zip(sizes, source.steps, output.steps, strict=True) if dim[0] != 1]
    merged: list[tuple[int, int, int]] = []
    for size, from_step, to_step in reversed(dims):
        if merged and (merged[0][0] * merged[0][1], merged[0][0] * merged[0][2]) == (from_step, to_step):
            merged[0] = size * merged[0][0], merged[0][1], merged[0][2]
        else:
            merged.insert(0, (size, from_step, to_step))
    run = 1
    if merged and merged[-1][1:] == (1, 1):
        run = merged.pop()[0]
    if len(merged) > _RANK:
        raise ModelError(
            f"{layer.step.name} moves more than {_RANK} dimensions, which has no C code: reshape its input"
        )
    if not merged and _address(layer, source) == _address(layer, output):
        return
    if not merged:
        layer.statements.append(f"memcpy({_start(layer, output)}, {_start(layer, source)}, {run * each});")
        return
    merged = [(1, 0, 0)] * (_RANK - len(merged)) + merged
    fields = [
        ("sizes", "{" + ", ".join(str(size) for size, _, _ in merged) + "}"),
        ("in_steps", "{" + ", ".join(str(step * each) for _, step, _ in merged) + "}"),
        ("out_steps", "{" + ", ".join(str(step * each) for _, _, step in merged) + "}"),
        ("run", str(run * each)),
    ]
    layer.call("movement", "ep_move", "ep_movement", fields, _start(layer, source), _start(layer, output))


def _address(layer: Layer, box: Box) -> Place | str:
    place = layer.places.get(box.tensor)
    if place is None:
        return _start(layer, box)
    return Place(place.base, place.offset + box.start * box.tensor.dtype.itemsize)


def _start(layer: Layer, box: Box) -> str:
    offset = box.start * box.tensor.dtype.itemsize
    pointer = layer.bytes_pointer(box.tensor)
    return pointer + (f" + {offset}" if offset else "")
