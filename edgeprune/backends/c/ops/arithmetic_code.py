"""Element-wise sums, differences and products of two tensors, with broadcasting."""

from __future__ import annotations

from collections.abc import Sequence

from edgeprune.backends.c.fixed_point import quantized_multiplier
from edgeprune.backends.c.int8_network import Tensor
from edgeprune.backends.c.layer import Layer, operator
from edgeprune.backends.c.quantized_outputs import limits
from edgeprune.errors import ModelError

_SUM_SHIFT = 20
"""Bits by which operands of a sum are shifted left, so that little is lost when they are scaled."""
_RANK = 4


@operator("ADD", "SUB", in_place=True)
def addition(layer: Layer) -> None:
    first, second, output = layer.step.input(0), layer.step.input(1), layer.step.output
    largest = 2.0 * max(first.scale, second.scale)
    factors = [quantized_multiplier(tensor.scale / largest) for tensor in (first, second)]
    if layer.step.kind == "SUB":
        factors[1] = -factors[1][0], factors[1][1]
    _write(layer, "ep_add", factors, quantized_multiplier(largest / ((1 << _SUM_SHIFT) * output.scale)))


@operator("MUL", in_place=True)
def product(layer: Layer) -> None:
    first, second, output = layer.step.input(0), layer.step.input(1), layer.step.output
    factor = quantized_multiplier(first.scale * second.scale / output.scale)
    _write(layer, "ep_multiply", [(0, 0), (0, 0)], factor)


def _write(layer: Layer, function: str, factors: Sequence[tuple[int, int]], factor: tuple[int, int]) -> None:
    first, second, output = layer.step.input(0), layer.step.input(1), layer.step.output
    low, high = limits(layer.step.options.fusedActivationFunction, output, layer.step.name)
    sizes, steps = _merged(layer, first, second, output)
    fields = [
        ("sizes", _list(sizes)),
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
    return f"{{.steps = {_list(steps)}, .offset = {-tensor.zero_point}, .multiplier = {mantissa}, .shift = {shift}}}"


def _merged(layer: Layer, first: Tensor, second: Tensor, output: Tensor) -> tuple[list[int], list[list[int]]]:
    """Return sizes and steps of both operands, with dimensions that both walk alike merged, as four dimensions."""
    rank = len(output.shape)
    shapes = [(1,) * (rank - len(tensor.shape)) + tensor.shape for tensor in (first, second)]
    dims: list[tuple[int, tuple[bool, bool]]] = []
    for axis, size in enumerate(output.shape):
        walks = shapes[0][axis] > 1, shapes[1][axis] > 1
        if size == 1:
            continue
        if dims and dims[-1][1] == walks:
            dims[-1] = dims[-1][0] * size, walks
        else:
            dims.append((size, walks))
    if len(dims) > _RANK:
        raise ModelError(f"{layer.step.name} broadcasts over more than {_RANK} dimensions: reshape its inputs")
    dims = [(1, (False, False))] * (_RANK - len(dims)) + dims
    steps = []
    for operand in range(2):
        own: list[int] = []
        step = 1
        for size, walks in reversed(dims):
            own.insert(0, step if walks[operand] else 0)
            step *= size if walks[operand] else 1
        steps.append(own)
    return [size for size, _ in dims], steps


def _list(values: Sequence[int]) -> str:
    return "{" + ", ".join(map(str, values)) + "}"
