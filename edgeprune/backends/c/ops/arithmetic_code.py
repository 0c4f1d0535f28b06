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
    operands = [(first, 1), (second, -1 if layer.step.kind == "SUB" else 1)]
    (larger, larger_sign), (smaller, smaller_sign) = sorted(operands, key=lambda pair: -pair[0].scale)
    scale = 2.0 * larger.scale
    own, total = (
        quantized_multiplier(factor) for factor in (smaller.scale / scale, scale / ((1 << _SUM_SHIFT) * output.scale))
    )
    fields = [
        *_common(layer, larger, smaller),
        ("first_sign", str(larger_sign)),
        ("second_sign", str(smaller_sign)),
        ("second_multiplier", str(own[0])),
        ("second_shift", str(own[1])),
        ("multiplier", str(total[0])),
        ("shift", str(total[1])),
    ]
    pointers = [layer.pointer(tensor) for tensor in (larger, smaller, output)]
    layer.call("arithmetic", "ep_add", "ep_addition", fields, *pointers)


@operator("MUL", in_place=True)
def product(layer: Layer) -> None:
    first, second, output = layer.step.input(0), layer.step.input(1), layer.step.output
    mantissa, shift = quantized_multiplier(first.scale * second.scale / output.scale)
    fields = [*_common(layer, first, second), ("multiplier", str(mantissa)), ("shift", str(shift))]
    pointers = [layer.pointer(tensor) for tensor in (first, second, output)]
    layer.call("arithmetic", "ep_multiply", "ep_product", fields, *pointers)


def _common(layer: Layer, first: Tensor, second: Tensor) -> list[tuple[str, str]]:
    """Return the fields ``broadcast`` and ``offsets``."""
    output = layer.step.output
    low, high = limits(layer.step.options.fusedActivationFunction, output, layer.step.name)
    sizes, (first_steps, second_steps) = _merged(layer, first, second, output)
    offsets = -first.zero_point, -second.zero_point, output.zero_point, low, high
    return [
        ("broadcast", f"{{{_list(sizes)}, {_list(first_steps)}, {_list(second_steps)}}}"),
        ("offsets", _list(offsets)),
    ]


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
        own, step = [], 1
        for size, walks in reversed(dims):
            own.insert(0, step if walks[operand] else 0)
            step *= size if walks[operand] else 1
        steps.append(own)
    return [size for size, _ in dims], steps


def _list(values: Sequence[int]) -> str:
    return "{" + ", ".join(map(str, values)) + "}"
