"""Element-wise sums, differences and products of two tensors, with broadcasting."""

from __future__ import annotations

from edgeprune.backends.c.broadcasting import braced, broadcast
from edgeprune.backends.c.fixed_point import quantized_multiplier
from edgeprune.backends.c.int8_network import Tensor
from edgeprune.backends.c.layer import FLOAT, INT8, Layer, operator
from edgeprune.backends.c.ops.pair_code import write_floats
from edgeprune.backends.c.quantized_outputs import limits

_SUM_SHIFT = 20
"""Bits by which operands of a sum are shifted left, so that little is lost when they are scaled."""


@operator("ADD", "SUB", in_place=True, types=INT8 | FLOAT)
def addition(layer: Layer) -> None:
    first, second, output = layer.step.input(0), layer.step.input(1), layer.step.output
    if output.dtype.name == "float32":
        write_floats(layer)
        return
    signs = (1, -1 if layer.step.kind == "SUB" else 1)
    # Half of the larger scale is the scale of the sum, so that only the other operand is scaled.
    swapped = second.scale > first.scale
    larger, smaller = (second, first) if swapped else (first, second)
    scale = 2.0 * larger.scale
    own = quantized_multiplier(smaller.scale / scale)
    total = quantized_multiplier(scale / ((1 << _SUM_SHIFT) * output.scale))
    fields = [
        *_common(layer, larger, smaller, swapped=swapped),
        ("first_sign", str(signs[swapped])),
        ("second_sign", str(signs[not swapped])),
        ("second_multiplier", str(own[0])),
        ("second_shift", str(own[1])),
        ("multiplier", str(total[0])),
        ("shift", str(total[1])),
    ]
    pointers = [layer.pointer(tensor) for tensor in (larger, smaller, output)]
    layer.call("arithmetic", "ep_add", "ep_addition", fields, *pointers)


@operator("MUL", in_place=True, types=INT8 | FLOAT)
def product(layer: Layer) -> None:
    first, second, output = layer.step.input(0), layer.step.input(1), layer.step.output
    if output.dtype.name == "float32":
        write_floats(layer)
        return
    mantissa, shift = quantized_multiplier(first.scale * second.scale / output.scale)
    fields = [*_common(layer, first, second), ("multiplier", str(mantissa)), ("shift", str(shift))]
    pointers = [layer.pointer(tensor) for tensor in (first, second, output)]
    layer.call("arithmetic", "ep_multiply", "ep_product", fields, *pointers)


def _common(layer: Layer, first: Tensor, second: Tensor, *, swapped: bool = False) -> list[tuple[str, str]]:
    """Return the fields ``broadcast`` and ``offsets``; ``swapped`` if ``first`` is the second input of the step."""
    output = layer.step.output
    low, high = limits(layer.step.options.fusedActivationFunction, output, layer.step.name)
    sizes, steps = broadcast(layer.step)
    offsets = -first.zero_point, -second.zero_point, output.zero_point, low, high
    return [
        ("broadcast", f"{{{braced(sizes)}, {braced(steps[swapped])}, {braced(steps[not swapped])}}}"),
        ("offsets", braced(offsets)),
    ]
