"""Padding with the zero point as part of the convolution that reads it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgeprune.backends.c.int8_network import Int8Network, Step, Tensor
from edgeprune.backends.c.windows import Window
from edgeprune.operator_facts.tflite_operators import TFLITE

Pads = tuple[tuple[int, int], tuple[int, int]]
"""Rows and columns before the image, and after it."""


def with_fused_padding(network: Int8Network) -> Int8Network:
    """Return the network with padding as part of convolutions, where no other step reads the padded image."""
    producers = {tensor: step for step in network.steps for tensor in step.outputs}
    reads = [tensor for step in network.steps for tensor in step.activations] + list(network.outputs)
    fused: set[Step] = set()
    steps = []
    for step in network.steps:
        pad = producers.get(step.input(0)) if TFLITE[step.kind].pads_with_zeros else None
        pads = _pads(pad) if pad is not None and reads.count(pad.output) == 1 else None
        if pad is not None and pads is not None and _fits(step, pad.input(0), pads):
            fused.add(pad)
            step = replace(step, inputs=(pad.input(0), *step.inputs[1:]), pads=pads)  # noqa: PLW2901
        steps.append(step)
    return replace(network, steps=tuple(step for step in steps if step not in fused))


def _pads(step: Step) -> Pads | None:
    """Return the padding of a step that surrounds images with the zero point; None for other steps."""
    source = step.input(0)
    if not step.kind.startswith("PAD") or len(source.shape) != 4 or source.dtype.name != "int8":
        return None
    values = step.input(2).values if len(step.inputs) > 2 else None
    if values is not None and int(values.reshape(-1)[0]) != source.zero_point:
        return None
    if (source.scales, source.zero_point) != (step.output.scales, step.output.zero_point):
        return None
    amounts = step.input(1).values.reshape(4, 2).tolist()
    if any(amounts[0]) or any(amounts[3]):
        return None
    (top, bottom), (left, right) = amounts[1:3]
    return (top, left), (bottom, right)


def _fits(step: Step, image: Tensor, pads: Pads) -> bool:
    """Return whether every window has a pixel of the image, as kernels require."""
    options: Any = step.options
    kernel = step.input(1).shape[1:3]
    strides = options.strideH, options.strideW
    dilation = options.dilationHFactor, options.dilationWFactor
    own = Window.of(replace(step, pads=pads, inputs=(image, *step.inputs[1:])), (kernel[0], kernel[1]), dilation).pads
    for axis in range(2):
        size, count = image.shape[axis + 1], step.output.shape[axis + 1]
        if own[axis] > (kernel[axis] - 1) * dilation[axis] or (count - 1) * strides[axis] - own[axis] >= size:
            return False
    return True
