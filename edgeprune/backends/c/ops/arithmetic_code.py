"""Element-wise sums, differences and products of two tensors, with broadcasting."""

from __future__ import annotations

from collections.abc import Sequence

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
    largest = 2.0 * max(first.scale, second.scale)
    factors = [quantized_multiplier(tensor.scale / largest) for tensor in (first, second)]
    if layer.step.kind == "SUB":
        factors[1] = -factors[1][0], factors[1][1]
    _write(layer, "ep_add", factors, quantized_multiplier(largest / ((1 << _SUM_SHIFT) * output.scale)))


@operator("MUL", in_place=True, types=INT8 | FLOAT)
def product(layer: Layer) -> None:
    first, second, output = layer.step.input(0), layer.step.input(1), layer.step.output
    if output.dtype.name == "float32":
        write_floats(layer)
        return
    factor = quantized_multiplier(first.scale * second.scale / output.scale)
    _write(layer, "ep_multiply", [(0, 0), (0, 0)], factor)


def _write(layer: Layer, function: str, factors: Sequence[tuple[int, int]], factor: tuple[int, int]) -> None:
    first, second, output = layer.step.input(0), layer.step.input(1), layer.step.output
    low, high = limits(layer.step.options.fusedActivationFunction, output, layer.step.name)
    sizes, steps = broadcast(layer.step)
    fields = [
        ("sizes", braced(sizes)),
        ("first", _operand(first, steps[0], factors[0])),
        ("second", _operand(second, steps[1], factors[1])),
        ("multiplier", str(factor[0])),
        ("shift", str(factor[1])),
        ("out_offset", str(output.zero_point)),
        ("low", str(low)),
        ("high", str(high)),
    ]
    pointers = [layer.pointer(tensor) for tensor in (first, second, output)]
    layer.call("arithmetic", function, "ep_arithmetic", fields, *pointers)


def _operand(tensor: Tensor, steps: Sequence[int], factor: tuple[int, int]) -> str:
    mantissa, shift = factor
    return f"{{.steps = {braced(steps)}, .offset = {-tensor.zero_point}, .multiplier = {mantissa}, .shift = {shift}}}"
