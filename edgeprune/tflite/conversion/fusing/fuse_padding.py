"""Fusion of padding into a convolution if it equals TFLite's SAME; otherwise it is cropped to what the windows read."""

from __future__ import annotations

import numpy as np

from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.tflite.conversion.tflite_graph import Array, Tensor, TfliteGraph, TfliteOp, Uses
from edgeprune.tflite.conversion.window_geometry import WindowAxis
from edgeprune.tflite.tflite_schema import schema


def fuse_padding(graph: TfliteGraph) -> None:
    _merge_pads(graph)
    _pad_maxima_with_zeros(graph)
    uses = Uses(graph)
    for op in graph.ops:
        pad = uses.producer(op.first) if TFLITE[op.code].pads_with_zeros else None
        if pad is None or pad.code != "PAD" or op.options.padding != schema.Padding.VALID:
            continue
        pads = _amount(pad)
        if pads[[0, 3]].any():
            continue
        axes = _axes(op, pad, pads)
        if all(axis.is_same for axis in axes):
            op.options.padding = schema.Padding.SAME
            op.inputs[0] = pad.first
        elif uses.sole_reader(pad.output) is op:
            _pad_by(pad, np.array([(0, 0), *((axis.before, axis.after) for axis in axes), (0, 0)], np.int32))
    graph.drop_dead()


def _merge_pads(graph: TfliteGraph) -> None:
    """Merge consecutive pads."""
    uses = Uses(graph)
    merged_ops = []
    for op in graph.ops:
        previous = uses.producer(op.first) if op.code == "PAD" else None
        if previous is not None and previous.code == "PAD" and uses.sole_reader(op.first) is op:
            op.inputs[0] = previous.first
            _pad_by(op, _amount(previous) + _amount(op))
            merged_ops.append(previous)
    graph.remove(merged_ops)


def _pad_maxima_with_zeros(graph: TfliteGraph) -> None:
    """Pad with zeros before max-pooling if no value is negative. It is faster than a repeated border."""
    uses = Uses(graph)
    for op in graph.ops:
        if op.code == "MIRROR_PAD" and op.options.mode == schema.MirrorPadMode.SYMMETRIC:
            producer = uses.producer(op.first)
            if producer is not None and TFLITE[producer.code].never_negative:
                op.code, op.options = "PAD", None


def _amount(pad: TfliteOp) -> Array:
    amount = pad.inputs[1]
    assert amount is not None
    assert amount.data is not None
    return amount.data


def _pad_by(pad: TfliteOp, amount: Array) -> None:
    """Set the padding of ``pad`` to ``amount`` (rank, 2)."""
    old = pad.inputs[1]
    assert old is not None
    pad.inputs[1] = Tensor.constant(old.name, amount)
    pad.output.shape = tuple(size + int(sum(ends)) for size, ends in zip(pad.first.shape, amount, strict=True))


def _axes(convolution: TfliteOp, pad: TfliteOp, pads: Array) -> list[WindowAxis]:
    weights, options = convolution.inputs[1], convolution.options
    assert weights is not None
    steps = ((options.strideH, options.dilationHFactor), (options.strideW, options.dilationWFactor))
    axes = []
    for index, (stride, dilation) in enumerate(steps, start=1):
        size, out, before = pad.first.shape[index], convolution.output.shape[index], int(pads[index, 0])
        extent = (weights.shape[index] - 1) * dilation + 1
        after = max((out - 1) * stride + extent - before - size, 0)
        axes.append(WindowAxis(size, out, extent, stride, before, after))
    return axes
