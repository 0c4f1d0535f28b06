"""Removal of parts that nothing reads: of a SPLIT, and of a CONCATENATION of which single parts are sliced again.

A recurrent network whose last step alone is read has both.
"""

from __future__ import annotations

from math import prod

import numpy as np

from edgeprune.tflite.conversion.tflite_graph import Tensor, TfliteGraph, TfliteOp, Uses
from edgeprune.tflite.tflite_schema import schema


def fuse_parts(graph: TfliteGraph) -> None:
    _read_parts_directly(graph)
    graph.drop_dead()
    _slice_read_parts(graph)


def _slice_read_parts(graph: TfliteGraph) -> None:
    """Replace each SPLIT with unread outputs by slices of the others."""
    uses = Uses(graph)
    ops: list[TfliteOp] = []
    for op in graph.ops:
        needed = [tensor in graph.outputs or bool(uses.readers(tensor)) for tensor in op.outputs]
        if op.code == "SPLIT" and not all(needed):
            ops.extend(_slice(op, index) for index, is_needed in enumerate(needed) if is_needed)
        else:
            ops.append(op)
    graph.ops = ops


def _slice(split: TfliteOp, index: int) -> TfliteOp:
    axis, x = split.first.data, split.inputs[1]
    assert axis is not None
    output = split.outputs[index]
    begin = np.zeros(len(output.shape), np.int32)
    begin[axis.item()] = index * output.shape[axis.item()]
    bounds = [("begin", begin), ("size", np.array(output.shape, np.int32))]
    constants = [Tensor.constant(f"{output.name}/{part}", values) for part, values in bounds]
    return TfliteOp("SLICE", [x, *constants], [output])


def _read_parts_directly(graph: TfliteGraph) -> None:
    """Let readers of a SLICE that selects one part of a CONCATENATION read this part."""
    uses = Uses(graph)
    replaced_by: dict[Tensor, Tensor] = {}
    removed = []
    for op in graph.ops:
        op.inputs = [replaced_by.get(tensor, tensor) if tensor is not None else None for tensor in op.inputs]
        part = _part(op, uses) if op.code == "SLICE" else None
        if part is None:
            continue
        if part.shape == op.output.shape and op.output not in graph.outputs:
            replaced_by[op.output] = part
            removed.append(op)
        else:
            shape = Tensor.constant(f"{op.output.name}/shape", np.array(op.output.shape, np.int32))
            op.code, op.inputs = "RESHAPE", [part, shape]
    graph.remove(removed)


def _part(op: TfliteOp, uses: Uses) -> Tensor | None:
    """Return the part of a concatenation that a slice equals up to its shape; None if it does not equal one."""
    begin = op.inputs[1]
    x, shape = op.first, op.output.shape
    if begin is None or begin.data is None or not _is_flat(x.shape, shape):
        return None
    steps = [prod(x.shape[index + 1 :]) for index in range(len(x.shape))]
    start, count = int(np.dot(begin.data, steps)), prod(shape)
    smallest_part = None
    while True:
        producer = uses.producer(x)
        if producer is not None and producer.code == "RESHAPE":
            x = producer.first
            continue
        if producer is None or producer.code != "CONCATENATION" or prod(x.shape[: producer.options.axis]) != 1:
            return smallest_part
        if producer.options.fusedActivationFunction != schema.ActivationFunctionType.NONE:
            return smallest_part
        for part in (tensor for tensor in producer.inputs if tensor is not None):
            if start < prod(part.shape):
                break
            start -= prod(part.shape)
        if start + count > prod(part.shape):
            return smallest_part
        x = part
        smallest_part = part if count == prod(part.shape) else None


def _is_flat(whole: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Return whether the elements of a slice to ``shape`` are adjacent in a tensor of shape ``whole``."""
    partial = [index for index, (size, out) in enumerate(zip(whole, shape, strict=True)) if size != out]
    return not partial or prod(shape[: partial[-1]]) == 1
