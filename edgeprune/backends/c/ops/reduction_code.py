"""Means, sums, maxima and minima over dimensions."""

from __future__ import annotations

from math import prod

from edgeprune.backends.c.box_copy import steps_of
from edgeprune.backends.c.fixed_point import quantized_multiplier
from edgeprune.backends.c.int8_network import Tensor
from edgeprune.backends.c.layer import FLOAT, INT8, Layer, operator
from edgeprune.errors import ModelError

_RANK = 3


@operator("MEAN", "REDUCE_MAX", "REDUCE_MIN", types=INT8 | FLOAT)
def reduction(layer: Layer) -> None:
    source = layer.step.input(0)
    if source.dtype.name == "float32":
        _write(layer, "float_reduction", f"ep_{layer.step.kind.lower()}_floats", [])
    elif layer.step.kind == "MEAN":
        _mean(layer, source)
    else:
        _write(layer, "int8_reduction", f"ep_{layer.step.kind.lower()}", [])


@operator("SUM", types=FLOAT)
def summation(layer: Layer) -> None:
    _write(layer, "float_reduction", "ep_sum_floats", [])


def _mean(layer: Layer, source: Tensor) -> None:
    output, count = layer.step.output, layer.step.input(0).elements // layer.step.output.elements
    mantissa, shift = quantized_multiplier(source.scale / output.scale)
    power = min(count.bit_length() - 1, 32, 31 + shift)
    mantissa, shift = (mantissa << power) // count, shift - power  # the factor includes the division
    fields = [
        ("multiplier", str(mantissa)),
        ("shift", str(shift)),
        ("in_sum", str(source.zero_point * count)),
        ("out_offset", str(output.zero_point)),
    ]
    _write(layer, "int8_reduction", "ep_mean", fields)


def _write(layer: Layer, kernel: str, function: str, factors: list[tuple[str, str]]) -> None:
    source, output = layer.step.input(0), layer.step.output
    rank = len(source.shape)
    axes = {int(axis) % rank for axis in layer.step.input(1).values.reshape(-1)}
    merged: list[list[tuple[int, int]]] = [[], []]
    last = None
    for axis, (size, step) in reversed(list(enumerate(zip(source.shape, steps_of(source.shape), strict=True)))):
        if size == 1:
            continue
        dims = merged[axis in axes]
        if last is dims:
            dims[0] = dims[0][0] * size, dims[0][1]
        else:
            dims.insert(0, (size, step))
        last = dims
    if max(map(len, merged)) > _RANK:
        raise ModelError(f"{layer.step.name} has too many dimensions for C code: reshape its input")
    fields = []
    for name, dims in zip(("kept", "reduced"), merged, strict=True):
        whole = [(1, 0)] * (_RANK - len(dims)) + dims
        fields.append((name, "{" + ", ".join(str(size) for size, _ in whole) + "}"))
        fields.append((f"{name}_steps", "{" + ", ".join(str(step) for _, step in whole) + "}"))
    fields.append(("count", str(prod(size for size, _ in merged[1]))))
    layer.call(kernel, function, "ep_reduction", [*fields, *factors], layer.pointer(source), layer.pointer(output))
