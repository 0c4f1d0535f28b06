"""Factors, offsets and limits with which layers turn their sums into int8 outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgeprune.backends.c.c_source import float_literal
from edgeprune.backends.c.fixed_point import quantized_multiplier
from edgeprune.backends.c.int8_network import Array, Tensor
from edgeprune.backends.c.layer import Layer
from edgeprune.errors import ModelError
from edgeprune.tflite.tflite_schema import schema

_ACTIVATIONS = schema.ActivationFunctionType
_LOW, _HIGH = -128, 127


def limits(activation: int, output: Tensor, where: str) -> tuple[int, int]:
    """Return the smallest and largest output after a fused activation, as integers.

    Raises:
        ModelError: C code cannot be generated for the activation.
    """
    low, high = _range(activation, where)
    return (
        _LOW if low is None else max(_LOW, _quantized(low, output)),
        _HIGH if high is None else min(_HIGH, _quantized(high, output)),
    )


def float_limits(activation: int, where: str) -> tuple[str, str]:
    """Return the literals of the smallest and largest float after a fused activation.

    Raises:
        ModelError: C code cannot be generated for the activation.
    """
    largest = float(np.finfo(np.float32).max)
    low, high = _range(activation, where)
    return float_literal(-largest if low is None else low), float_literal(largest if high is None else high)


def _range(activation: int, where: str) -> tuple[float | None, float | None]:
    ranges: dict[int, tuple[float | None, float | None]] = {
        _ACTIVATIONS.NONE: (None, None),
        _ACTIVATIONS.RELU: (0.0, None),
        _ACTIVATIONS.RELU_N1_TO_1: (-1.0, 1.0),
        _ACTIVATIONS.RELU6: (0.0, 6.0),
    }
    if activation not in ranges:
        raise ModelError(f"{where} has a fused activation without C code: convert the model with a separate activation")
    return ranges[activation]


def _quantized(value: float, tensor: Tensor) -> int:
    # In float32, and rounded half away from zero, as TFLite does.
    ratio = np.float32(value) / np.float32(tensor.scale)
    return tensor.zero_point + int(np.floor(abs(ratio) + np.float32(0.5)) * np.sign(ratio))


def layer_outputs(layer: Layer, output: Tensor, bias: Array, factors: Sequence[float], activation: int) -> str:
    """Add bias and factors of a layer with weights, and return the initializer of its ``ep_outputs``.

    Args:
        layer: The layer.
        output: Its output.
        bias: Values to start the sums with, int32 (channels,).
        factors: Real factor from sums to outputs of each channel.
        activation: Fused activation.
    """
    pairs = [quantized_multiplier(factor) for factor in factors]
    low, high = limits(activation, output, layer.step.name)
    fields = {
        "bias": layer.constant("bias", bias),
        "multipliers": layer.constant("multipliers", np.array([mantissa for mantissa, _ in pairs], np.int32)),
        "shifts": layer.constant("shifts", np.array([shift for _, shift in pairs], np.int8)),
        "out_offset": str(output.zero_point),
        "low": str(low),
        "high": str(high),
    }
    return "{" + ", ".join(f".{name} = {value}" for name, value in fields.items()) + "}"


def channel_factors(source: Tensor, weights: Tensor, output: Tensor, channels: int) -> list[float]:
    """Return the factor of each channel of a convolution, as TFLite computes it: in float64 from float32 scales."""
    scales = weights.scales if len(weights.scales) > 1 else weights.scales * channels
    return [source.scale * scale / output.scale for scale in scales]
