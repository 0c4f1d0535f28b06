"""Convolutions and fully connected layers."""

from __future__ import annotations

import numpy as np

from edgeprune.backends.c.int8_network import Tensor
from edgeprune.backends.c.layer import Layer, operator
from edgeprune.backends.c.quantized_outputs import channel_factors, layer_outputs
from edgeprune.backends.c.windows import window


@operator("CONV_2D")
def convolution(layer: Layer) -> None:
    source, weights, output, options = _parts(layer)
    channels, rows, columns, depth = weights.shape
    geometry = window(source, output, (rows, columns), options, (options.dilationHFactor, options.dilationWFactor))
    factors = channel_factors(source, weights, output, channels)
    fields = [
        ("window", geometry),
        ("outputs", layer_outputs(layer, source, output, _bias(layer), factors, options.fusedActivationFunction)),
        ("weights", layer.constant("weights", weights.values)),
        ("groups", str(source.shape[3] // depth)),
    ]
    layer.macs = output.elements * rows * columns * depth
    for kernel in ("dot_product", "convolution"):
        layer.kernels[kernel] = None
    for sample in range(output.shape[0]):
        pointers = _sample(layer, source, sample), _sample(layer, output, sample)
        layer.call("convolution", "ep_convolve", "ep_convolution", fields, *pointers)


@operator("DEPTHWISE_CONV_2D")
def depthwise(layer: Layer) -> None:
    source, weights, output, options = _parts(layer)
    _, rows, columns, channels = weights.shape
    geometry = window(source, output, (rows, columns), options, (options.dilationHFactor, options.dilationWFactor))
    factors = channel_factors(source, weights, output, channels)
    fields = [
        ("window", geometry),
        ("outputs", layer_outputs(layer, source, output, _bias(layer), factors, options.fusedActivationFunction)),
        ("weights", layer.constant("weights", weights.values)),
    ]
    layer.macs = output.elements * rows * columns
    for kernel in ("dot_product", "convolution"):
        layer.kernels[kernel] = None
    for sample in range(output.shape[0]):
        pointers = _sample(layer, source, sample), _sample(layer, output, sample)
        layer.call("depthwise", "ep_convolve_depthwise", "ep_depthwise", fields, *pointers)


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
        ("outputs", layer_outputs(layer, source, output, _bias(layer), factors, options.fusedActivationFunction)),
        ("weights", layer.constant("weights", weights.values)),
        ("rows", str(source.elements // size)),
        ("in_size", str(size)),
        ("out_size", str(channels)),
    ]
    layer.macs = output.elements * size
    for kernel in ("dot_product", "convolution"):
        layer.kernels[kernel] = None
    layer.call(
        "fully_connected", "ep_connect", "ep_dense", fields, layer.pointer(source), layer.pointer(output)
    )


def _parts(layer: Layer) -> tuple[Tensor, Tensor, Tensor, object]:
    step = layer.step
    return step.input(0), step.input(1), step.output, step.options


def _bias(layer: Layer) -> Tensor | None:
    inputs = layer.step.inputs
    return inputs[2] if len(inputs) > 2 else None


def _sample(layer: Layer, tensor: Tensor, sample: int) -> str:
    pointer = layer.pointer(tensor)
    return pointer if sample == 0 else f"{pointer} + {sample * (tensor.elements // tensor.shape[0])}"
