"""Check for channel counts that miss the fast loops of CMSIS-NN, on cores with the DSP extension and without MVE.

Cortex-M4, M7 and M33 multiply two pairs of 16 bits at once (SMLAD). The sources are those of
https://github.com/ARM-software/CMSIS-NN:

- ``arm_convolve_s8.c`` and ``arm_nn_mat_mult_kernel_s8_s16.c``: sums over kernel and input channels run in
  groups of four, the remainder one by one; output channels run in pairs, an odd last one alone.
  "Optimal use case [...] is when input and output channels are multiples of 4 or atleast greater than 4."
- ``arm_nn_mat_mult_nt_t_s8.c`` (1x1 convolutions) and ``arm_nn_vec_mat_mult_t_s8.c`` (fully connected): the same.
- ``arm_depthwise_conv_wrapper_s8.c``: the fast kernels take a channel multiplier of 1, no dilation and a batch of 1;
  ``arm_depthwise_conv_s8_opt.c``: channels run in groups of four, the remainder one by one.
- ``arm_depthwise_conv_s8.c``: "Optimization using DSP extension is not available for the generic case where channel
  multiplier is > 1."
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod

from edgeprune.backends.tflm.linting.finding import Finding
from edgeprune.backends.tflm.linting.tflite_network import Operator, TfliteNetwork
from edgeprune.config import Target
from edgeprune.tflite.tflite_schema import schema

_CODE = "cmsis-nn-slow-path"
_WORD = 4
_PAIR = 2
_CONV_RANK = 4
_ALIGN = "prune with align = 4, so that channel counts are multiples of 4"


def boards_with_dsp(targets: Iterable[Target]) -> list[str]:
    """Return the names of the targets that use the CMSIS-NN kernels for the DSP extension."""
    return [
        target.name
        for target in targets
        if target.microcontroller is not None
        and target.microcontroller.kernels == "cmsis_nn"
        and "dsp" in target.hardware.features
        and "mve" not in target.hardware.features
    ]


def slow_paths(network: TfliteNetwork) -> Iterator[Finding]:
    """Find int8 layers that CMSIS-NN computes one product at a time, in part or entirely."""
    for op in network.operators:
        weights = op.inputs[1] if len(op.inputs) > 1 else None
        first = op.inputs[0] if op.inputs else None
        if weights is None or first is None or not (weights.is_constant and first.is_quantized and weights.shape):
            continue
        if op.kind == "DEPTHWISE_CONV_2D" and len(weights.shape) == _CONV_RANK:
            yield from _depthwise(op, weights.shape, first.shape)
        elif op.kind in ("CONV_2D", "FULLY_CONNECTED"):
            yield from _dense(op, weights.shape)


def _dense(op: Operator, weights: tuple[int, ...]) -> Iterator[Finding]:
    outputs, products = weights[0], prod(weights[1:])
    reasons = []
    if products % _WORD:
        reasons.append(f"{products % _WORD} of {products} products of each sum are computed one at a time")
    if outputs % _PAIR:
        reasons.append(f"1 of {outputs} output channels is not computed in a pair")
    if reasons:
        yield op.finding("note", _CODE, f"CMSIS-NN: {'; '.join(reasons)}", _ALIGN)


def _depthwise(op: Operator, weights: tuple[int, ...], image: tuple[int, ...]) -> Iterator[Finding]:
    channels = weights[3]
    options = op.options if isinstance(op.options, schema.DepthwiseConv2DOptionsT) else schema.DepthwiseConv2DOptionsT()
    dilated = options.dilationHFactor > 1 or options.dilationWFactor > 1
    reasons = []
    if len(image) == _CONV_RANK and channels != image[3]:
        reasons.append(f"{channels} filters for {image[3]} input channels")
    if dilated:
        reasons.append("a dilation")
    if image and image[0] != 1:
        reasons.append(f"a batch of {image[0]}")
    if reasons:
        yield op.finding(
            "warning",
            _CODE,
            f"CMSIS-NN runs the plain C kernel without the DSP extension, because of {' and '.join(reasons)}",
            "one filter for each input channel, no dilation, batch 1",
        )
    elif channels % _WORD:
        yield op.finding(
            "note",
            _CODE,
            f"CMSIS-NN: {channels % _WORD} of {channels} channels are computed one at a time, not in groups of four",
            _ALIGN,
        )
