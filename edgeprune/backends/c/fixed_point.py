"""Fixed-point arithmetic of TFLite's reference kernels, exact to the bit.

Real factors are a 32-bit mantissa in [2^30, 2^31) and a shift. Products round twice, as in TensorFlow Lite Micro: once
when the doubled high half is taken, and once when it is shifted (Jacob et al. 2018, "Quantization and Training of
Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 2.2).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def quantized_multiplier(real: float) -> tuple[int, int]:
    """Return mantissa and shift of ``real`` >= 0: about ``mantissa * 2 ** (shift - 31)``.

    A negative shift is a right shift. Factors below 2^-32 are 0.
    """
    if real == 0.0:
        return 0, 0
    fraction, shift = math.frexp(real)
    mantissa = math.floor(fraction * (1 << 31) + 0.5)
    if mantissa == 1 << 31:
        mantissa, shift = mantissa // 2, shift + 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        return (1 << 31) - 1, 30
    return mantissa, shift


def doubling_high(a: Any, b: Any) -> Ints:
    """Return ``a * b / 2^31``, rounded half up, for int32 values."""
    return (np.asarray(a, np.int64) * np.asarray(b, np.int64) + (1 << 30)) >> 31


def divide_by_power(values: Any, exponent: int) -> Ints:
    """Return ``values / 2^exponent``, rounded half away from zero."""
    ints: Ints = np.asarray(values, np.int64)
    return ints if exponent == 0 else (ints + (1 << (exponent - 1)) - (ints < 0)) >> exponent


def multiply(values: Any, mantissa: int, shift: int) -> Ints:
    """Return ``values`` times the factor of ``quantized_multiplier``."""
    left, right = max(shift, 0), max(-shift, 0)
    return divide_by_power(doubling_high(np.asarray(values, np.int64) << left, mantissa), right)
