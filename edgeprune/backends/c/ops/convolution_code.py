"""Convolutions and fully connected layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeprune.backends.c.int8_network import Array, Tensor
from edgeprune.backends.c.layer import Layer, operator
from edgeprune.backends.c.quantized_outputs import channel_factors, layer_outputs
from edgeprune.backends.c.windows import Window

_WORD = 4
"""Weights in a word of 32 bits."""


@operator("CONV_2D")
def convolution(layer: Layer) -> None:
    source, weights, output, options = _parts(layer)
    channels, rows, columns, depth = weights.shape
    groups = source.shape[3] // depth
    window = Window.of(layer.step, (rows, columns), (options.dilationHFactor, options.dilationWFactor))
    window = window.flattened() if groups == 1 else window
    factors = channel_factors(source, weights, output, channels)
    is_contiguous = groups == 1 and options.dilationWFactor == 1
    runs = rows if is_contiguous else rows * columns
    pairs = interleaved(weights.values.reshape(groups, channels // groups, runs, -1))
    fields = [
        ("window", window.initializer()),
        ("outputs", layer_outputs(layer, output, _bias(layer, channels), factors, options.fusedActivationFunction)),
        ("weights", layer.constant("weights", pairs)),
        ("whole_bias", layer.constant("whole_bias", _whole_bias(layer, source, weights.values.reshape(channels, -1)))),
        ("in_offset", str(-source.zero_point)),
        ("groups", str(groups)),
    ]
    layer.macs = output.elements * rows * columns * depth
    layer.call_each_sample("convolution", "ep_convolve", "ep_convolution", fields, source)


@operator("DEPTHWISE_CONV_2D")
def depthwise(layer: Layer) -> None:
    source, weights, output, options = _parts(layer)
    _, rows, columns, channels = weights.shape
    window = Window.of(layer.step, (rows, columns), (options.dilationHFactor, options.dilationWFactor))
    factors = channel_factors(source, weights, output, channels)
    fields = [
        ("window", window.initializer()),
        ("outputs", layer_outputs(layer, output, _bias(layer, channels), factors, options.fusedActivationFunction)),
        ("weights", layer.constant("weights", weights.values)),
        ("in_offset", str(-source.zero_point)),
    ]
    layer.macs = output.elements * rows * columns
    layer.call_each_sample("depthwise", "ep_convolve_depthwise", "ep_depthwise", fields, source)


@operator("FULLY_CONNECTED")
def fully_connected(layer: Layer) -> None:
    source, weights, output, options = _parts(layer)
    channels, size = weights.shape
    if len(weights.scales) > 1:
        factors = channel_factors(source, weights, output, channels)
    else:  # the product of the scales is a float32 here
        product = np.float32(source.scale) * np.float32(weights.scale)
        factors = [float(product) / output.scale] * channels
    fields = [
        ("outputs", layer_outputs(layer, output, _bias(layer, channels), factors, options.fusedActivationFunction)),
        ("weights", layer.constant("weights", interleaved(weights.values.reshape(1, channels, 1, size)))),
        ("rows", str(source.elements // size)),
        ("in_size", str(size)),
        ("out_size", str(channels)),
        ("in_offset", str(-source.zero_point)),
    ]
    layer.macs = output.elements * size
    layer.call("fully_connected", "ep_connect", "ep_dense", fields, layer.pointer(source), layer.pointer(output))


@operator("TRANSPOSE_CONV")
def transposed_convolution(layer: Layer) -> None:
    step, options = layer.step, layer.step.options
    weights, source, output = step.input(1), step.input(2), step.output
    channels, rows, columns, _ = weights.shape
    window = Window.transposed(source, output, (rows, columns), options)
    factors = channel_factors(source, weights, output, channels)
    bias = _bias(layer, channels, 3)
    fields = [
        ("window", window.initializer()),
        ("outputs", layer_outputs(layer, output, bias, factors, options.fusedActivationFunction)),
        ("weights", layer.constant("weights", weights.values)),
        ("in_offset", str(-source.zero_point)),
    ]
    layer.macs = source.elements * rows * columns * channels
    layer.call_each_sample(
        "transposed_convolution", "ep_convolve_transposed", "ep_transposed_convolution", fields, source
    )


def interleaved(weights: Array) -> Array:
    """Return the order of weights that ``dot_product.h`` reads.

    Args:
        weights: Weights (groups, channels, runs, run size), int8. Each run is summed over contiguous activations.

    Returns:
        Weights (groups * pairs of channels * runs * 2 * run size,). A group with an odd number of channels has zeros as
        its last channel.
    """
    groups, channels, runs, size = weights.shape
    padded = np.zeros((groups, channels + channels % 2, runs, size), np.int8)
    padded[:, :channels] = weights
    pairs = padded.reshape(groups, -1, 2, runs, size).swapaxes(2, 3)  # (groups, pairs, runs, 2, size)
    whole = size - size % _WORD
    words = pairs[..., :whole].reshape(*pairs.shape[:4], -1, _WORD).swapaxes(3, 4)
    remainder = pairs[..., whole:].swapaxes(3, 4)
    shape = *pairs.shape[:3], -1
    return np.concatenate([words.reshape(shape), remainder.reshape(shape)], -1).reshape(-1)


def _bias(layer: Layer, channels: int, index: int = 2) -> Array:
    """Return the bias of each channel, int32 (channels,)."""
    inputs = layer.step.inputs
    stored = inputs[index] if len(inputs) > index else None
    return np.zeros(channels, np.int32) if stored is None else stored.values.reshape(-1).astype(np.int32)


def _whole_bias(layer: Layer, source: Tensor, weights: Array) -> Array:
    """Return the bias minus the zero point of the input times the sum of the weights, (channels,).

    ``weights`` are (channels, weights of a channel).
    """
    sums = weights.astype(np.int64).sum(1)
    bias: Array = _bias(layer, len(weights)) - source.zero_point * sums
    return bias.astype(np.int32)


def _parts(layer: Layer) -> tuple[Tensor, Tensor, Tensor, Any]:
    step = layer.step
    return step.input(0), step.input(1), step.output, step.options
