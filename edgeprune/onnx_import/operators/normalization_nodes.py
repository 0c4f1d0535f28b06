"""Importers of normalizations. Batch, layer and group normalization become modules."""

from __future__ import annotations

from math import prod
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.operators.trainable import trainable
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant, Value

_BATCH_NORMS: dict[int, Any] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_SINCE_AXIS_IS_ONE_DIMENSION = 13


@importer("BatchNormalization")
def batch_normalization(node: SourceNode, net: NetworkBuilder) -> None:
    """Import BatchNormalization as a module, so that training updates its statistics."""
    value = net.value(0)
    if node.get("training_mode", 0) or any(node.outputs[1:]):
        raise node.unsupported("outputs of training mode", "exported in evaluation mode")
    if not node.get("spatial", 1):
        raise node.unsupported("spatial = 0", "normalization by channel")
    rank = len(value.shape)
    if rank not in _BATCH_NORMS or isinstance(value, Constant):
        raise node.unsupported(f"an input of rank {rank}", "applied to a computed tensor of rank 2 to 5")
    scale, shift, mean, variance = (net.needed_constant(index, "a weight") for index in range(1, 5))
    # ONNX weighs the old statistics by its momentum, torch the new ones.
    module = _BATCH_NORMS[rank](value.shape[1], node.get("epsilon", 1e-5), 1 - node.get("momentum", 0.9))
    module.weight, module.bias = net.parameter(scale), net.parameter(shift)
    module.running_mean.copy_(mean.tensor)
    module.running_var.copy_(variance.tensor)
    net.write(net.layer(module, [scale, shift, mean, variance], value, key=module.eps))


@importer("LayerNormalization")
def layer_normalization(node: SourceNode, net: NetworkBuilder) -> None:
    value, scale = net.value(0), net.needed_constant(1, "a scale")
    bias = net.needed_constant(2, "a bias") if node.input(2) else None
    shape = list(value.shape[node.get("axis", -1) % len(value.shape) :])
    _check_single_output(node, net)
    if isinstance(value, Constant):
        net.write(net.call(F.layer_norm, value, shape, scale, bias, node.get("epsilon", 1e-5)))
        return
    module = nn.LayerNorm(shape, node.get("epsilon", 1e-5), bias=bias is not None)
    module.weight = net.parameter(scale, f"norm{shape}", lambda tensor: tensor.expand(shape))
    if bias is not None:
        module.bias = net.parameter(bias, f"norm{shape}", lambda tensor: tensor.expand(shape))
    net.write(net.layer(module, [scale, bias], value, key=(*shape, module.eps)))


@importer("RMSNormalization")
def rms_normalization(node: SourceNode, net: NetworkBuilder) -> None:
    value, scale = net.value(0), net.value(1)
    dims = list(range(node.get("axis", -1) % len(value.shape), len(value.shape)))
    squares = net.call(torch.mean, net.call(torch.pow, value, 2), dims, keepdim=True)
    root = net.call(torch.rsqrt, net.call(torch.add, squares, node.get("epsilon", 1e-5)))
    net.write(net.call(torch.mul, net.call(torch.mul, value, root), trainable(net, scale, value)))


@importer("GroupNormalization")
def group_normalization(node: SourceNode, net: NetworkBuilder) -> None:
    """Import GroupNormalization. Scale and bias have a value for each group in opset 18, then for each channel."""
    value, scale, bias = net.value(0), net.needed_constant(1, "a scale"), net.needed_constant(2, "a bias")
    groups, channels = int(node.get("num_groups")), value.shape[1]
    if isinstance(value, Constant):
        raise node.unsupported("a constant input", "applied to a computed tensor")
    module = nn.GroupNorm(groups, channels, node.get("epsilon", 1e-5))
    module.weight, module.bias = (
        net.parameter(one, f"group{channels}", lambda tensor: tensor.repeat_interleave(channels // len(tensor)))
        for one in (scale, bias)
    )
    net.write(net.layer(module, [scale, bias], value, key=(groups, module.eps)))


@importer("InstanceNormalization")
def instance_normalization(node: SourceNode, net: NetworkBuilder) -> None:
    """Import InstanceNormalization; if scale and bias have no effect, as in an exported GroupNorm, without them."""
    value, scale, bias = net.value(0), net.needed_constant(1, "a scale"), net.needed_constant(2, "a bias")
    plain = bool((scale.tensor == 1).all()) and not bool(bias.tensor.any())
    weights = (None, None) if plain else (net.parameter(scale), net.parameter(bias))
    epsilon = node.get("epsilon", 1e-5)
    net.write(net.call(F.instance_norm, value, None, None, *weights, use_input_stats=True, eps=epsilon))


@importer("LRN")
def local_response_normalization(node: SourceNode, net: NetworkBuilder) -> None:
    """Import LRN over channels. torch centers a window of even size differently, so the sum is computed here."""
    value, count = net.value(0), int(node.get("size"))
    alpha, beta, bias = node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    rank = len(value.shape)
    before, after = (count - 1) // 2, count - 1 - (count - 1) // 2
    squares = net.call(F.pad, net.call(torch.pow, value, 2), [*(0, 0) * (rank - 2), before, after])
    channels = value.shape[1]
    total: Any = None
    for shift in range(count):
        part = net.call(torch.narrow, squares, 1, shift, channels)
        total = part if total is None else net.call(torch.add, total, part)
    divisor = net.call(torch.pow, net.call(torch.add, net.call(torch.mul, total, alpha / count), bias), beta)
    net.write(net.call(torch.div, value, divisor))


@importer("LpNormalization")
def lp_normalization(node: SourceNode, net: NetworkBuilder) -> None:
    value, axis = net.value(0), node.get("axis", -1)
    length = net.call(torch.linalg.vector_norm, value, float(node.get("p", 2)), [axis], keepdim=True)
    net.write(net.call(torch.div, value, length))


@importer("MeanVarianceNormalization")
def mean_variance_normalization(node: SourceNode, net: NetworkBuilder) -> None:
    value, axes = net.value(0), list(node.get("axes") or (0, 2, 3))
    centered = net.call(torch.sub, value, net.call(torch.mean, value, axes, keepdim=True))
    variance = net.call(torch.mean, net.call(torch.pow, centered, 2), axes, keepdim=True)
    deviation = net.call(torch.sqrt, variance)
    net.write(net.call(torch.div, centered, net.call(torch.add, deviation, 1e-9)))


@importer("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: SourceNode, net: NetworkBuilder) -> None:
    """Import Softmax and its relatives. Before opset 13, they normalize all dimensions from the axis on together."""
    value = net.value(0)
    rank = len(value.shape)
    joint = node.opset < _SINCE_AXIS_IS_ONE_DIMENSION
    axis = node.get("axis", 1 if joint else -1) % rank
    if joint and prod(value.shape[axis:-1]) > 1:
        sizes = [*(net.size(value, dim) for dim in range(axis)), *value.shape[axis:]]
        flat = net.call(torch.flatten, value, axis)
        net.write(net.call("reshape", _normalized(node, net, flat, axis), sizes))
        return
    last = rank - 1
    net.write(_normalized(node, net, value, last if joint and value.shape[last] > 1 else axis))


def _normalized(node: SourceNode, net: NetworkBuilder, value: Value | Constant, axis: int) -> Value | Constant:
    result: Value | Constant
    if node.op == "Hardmax":
        size = value.shape[axis]
        indices = net.call(torch.argmax, value, axis)
        hot = net.call("to", net.call(F.one_hot, indices, size), torch.float32)
        last = len(value.shape) - 1
        result = hot if axis == last else net.call(torch.movedim, hot, last, axis)
    else:
        result = net.call(F.softmax if node.op == "Softmax" else F.log_softmax, value, axis)
    return result


def _check_single_output(node: SourceNode, net: NetworkBuilder) -> None:
    for index in (1, 2):
        if net.is_read(node.output(index)):
            raise node.unsupported("statistics that other nodes read", "used for its first output only")
