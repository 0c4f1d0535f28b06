"""Softmax, with a table of exponentials."""

from __future__ import annotations

import math

import numpy as np

from edgeprune.backends.c.fixed_point import Ints, divide_by_power, doubling_high, quantized_multiplier
from edgeprune.backends.c.layer import Layer, operator
from edgeprune.errors import ModelError

_INTEGER_BITS = 5
"""Bits before the binary point of the arguments of the exponential function."""
_FRACTION_BITS = 31 - _INTEGER_BITS
_QUARTER = 1 << (_FRACTION_BITS - 2)
_FACTORS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
"""exp(-1/4), exp(-1/2), exp(-1), ..., exp(-16), times 2^31."""


@operator("SOFTMAX", in_place=True)
def softmax(layer: Layer) -> None:
    source, output = layer.step.input(0), layer.step.output
    if (output.scale, output.zero_point) != (1 / 256, -128):
        raise ModelError(f"{layer.step.name} must have outputs with scale 1/256 and zero point -128")
    table = exponentials(source.scale * layer.step.options.beta)
    fields = [
        ("exponentials", layer.constant("exponentials", table)),
        ("entries", str(len(table))),
        ("rows", str(source.elements // source.shape[-1])),
        ("size", str(source.shape[-1])),
    ]
    layer.call(
        "softmax",
        "ep_normalize_exponentials",
        "ep_softmax",
        fields,
        layer.pointer(source),
        layer.pointer(output),
    )


def exponentials(scale: float) -> np.ndarray:
    """Return ``exp(-distance * scale) * 2^31`` for distances 0, 1, ..., as int32 (entries,), like TFLite computes them.

    The last entry belongs to the largest distance of two int8 values, or to the largest one that does not count as 0.
    """
    mantissa, shift = quantized_multiplier(min(scale * (1 << _FRACTION_BITS), (1 << 31) - 1.0))
    largest = math.floor(((1 << _INTEGER_BITS) - 1) * (1 << _FRACTION_BITS) / (1 << shift))
    distances = np.arange(min(largest, 255) + 1, dtype=np.int64)
    return _exp(doubling_high(-distances << shift, mantissa)).astype(np.int32)


def _exp(values: Ints) -> Ints:
    """Return exp of ``values`` <= 0 with 26 bits behind the point, times 2^31.

    It is a polynomial, and a factor for each bit of the distance.
    """
    fraction = (values & (_QUARTER - 1)) - _QUARTER
    result = _exp_of_fraction(fraction << _INTEGER_BITS)
    remainder = fraction - values
    for bit, factor in enumerate(_FACTORS, start=_FRACTION_BITS - 2):
        result = np.where(remainder & (1 << bit), doubling_high(result, factor), result)
    return np.where(values == 0, (1 << 31) - 1, result)


def _exp_of_fraction(values: Ints) -> Ints:
    """Return exp of ``values`` in [-1/4, 0), both times 2^31: a Taylor series of degree four around -1/8."""
    exp_of_center, third = 1895147668, 715827883
    x = values + (1 << 28)
    x2 = doubling_high(x, x)
    x3, x4 = doubling_high(x2, x), doubling_high(x2, x2)
    higher = divide_by_power(doubling_high(divide_by_power(x4, 2) + x3, third) + x2, 1)
    return exp_of_center + doubling_high(exp_of_center, x + higher)
