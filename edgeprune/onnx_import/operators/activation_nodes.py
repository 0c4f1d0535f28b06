"""Importers of activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from edgeprune.onnx_import.network_builder import NetworkBuilder
from edgeprune.onnx_import.operators.base import importer
from edgeprune.onnx_import.operators.trainable import trainable
from edgeprune.onnx_import.source_graph import SourceNode
from edgeprune.onnx_import.traced_values import Constant

_PLAIN: dict[str, Callable[..., Any]] = {
    "HardSwish": F.hardswish,
    "Mish": F.mish,
    "Relu": F.relu,
    "Sigmoid": torch.sigmoid,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Tanh": torch.tanh,
}


@importer(*_PLAIN)
def plain(node: SourceNode, net: NetworkBuilder) -> None:
    net.write(net.call(_PLAIN[node.op], net.value(0)))


@importer("Clip")
def clip(node: SourceNode, net: NetworkBuilder) -> None:
    lowest, highest = _limit(node, net, 1, "min"), _limit(node, net, 2, "max")
    value = net.value(0)
    if (lowest, highest) == (0, 6):
        net.write(net.call(F.relu6, value))
    elif lowest is None and highest is None:
        net.write(value)
    else:
        net.write(net.call(torch.clamp, value, lowest, highest))


@importer("LeakyRelu")
def leaky_relu(node: SourceNode, net: NetworkBuilder) -> None:
    net.write(net.call(F.leaky_relu, net.value(0), node.get("alpha", 0.01)))


@importer("PRelu")
def prelu(node: SourceNode, net: NetworkBuilder) -> None:
    """Import PRelu. Slopes for each channel are a parameter; others are computed with ``where``."""
    value, slope = net.value(0), net.value(1)
    per_channel = isinstance(slope, Constant) and _is_per_channel(slope.shape, value.shape)
    if isinstance(slope, Constant) and (per_channel or slope.tensor.numel() == 1):
        weight = net.parameter(slope, "prelu", lambda tensor: tensor.reshape(-1))
        net.write(net.call(F.prelu, value, weight))
        return
    factor = trainable(net, slope)
    scaled = net.call(torch.mul, value, factor)
    net.write(net.call(torch.where, net.call(torch.ge, value, 0), value, scaled))


@importer("Elu")
def elu(node: SourceNode, net: NetworkBuilder) -> None:
    net.write(net.call(F.elu, net.value(0), node.get("alpha", 1.0)))


@importer("Celu")
def celu(node: SourceNode, net: NetworkBuilder) -> None:
    net.write(net.call(F.celu, net.value(0), node.get("alpha", 1.0)))


@importer("Selu")
def selu(node: SourceNode, net: NetworkBuilder) -> None:
    """Import Selu, ``gamma * elu(x)``, whose constants are attributes."""
    alpha, gamma = node.get("alpha", 1.6732632423543772), node.get("gamma", 1.0507009873554805)
    net.write(net.call(torch.mul, net.call(F.elu, net.value(0), alpha), gamma))


@importer("Gelu")
def gelu(node: SourceNode, net: NetworkBuilder) -> None:
    net.write(net.call(F.gelu, net.value(0), approximate=node.get("approximate", "none")))


@importer("HardSigmoid")
def hard_sigmoid(node: SourceNode, net: NetworkBuilder) -> None:
    alpha, beta = node.get("alpha", 0.2), node.get("beta", 0.5)
    if beta == 0.5 and abs(alpha - 1 / 6) < 1e-6:
        net.write(net.call(F.hardsigmoid, net.value(0)))
        return
    line = net.call(torch.add, net.call(torch.mul, net.value(0), alpha), beta)
    net.write(net.call(torch.clamp, line, 0, 1))


@importer("Swish")
def swish(node: SourceNode, net: NetworkBuilder) -> None:
    value, alpha = net.value(0), node.get("alpha", 1.0)
    gate = value if alpha == 1 else net.call(torch.mul, value, alpha)
    net.write(net.call(torch.mul, value, net.call(torch.sigmoid, gate)))


@importer("ThresholdedRelu")
def thresholded_relu(node: SourceNode, net: NetworkBuilder) -> None:
    net.write(net.call(F.threshold, net.value(0), node.get("alpha", 1.0), 0.0))


@importer("Shrink")
def shrink(node: SourceNode, net: NetworkBuilder) -> None:
    """Import Shrink: values within ``lambd`` of zero become zero, others move toward zero by ``bias``."""
    value, limit, bias = net.value(0), node.get("lambd", 0.5), node.get("bias", 0.0)
    below = net.call(torch.where, net.call(torch.lt, value, -limit), net.call(torch.add, value, bias), 0.0)
    above = net.call(torch.where, net.call(torch.gt, value, limit), net.call(torch.sub, value, bias), 0.0)
    net.write(net.call(torch.add, below, above))


def _limit(node: SourceNode, net: NetworkBuilder, index: int, attribute: str) -> float | None:
    if attribute in node.attributes:
        return float(node.attributes[attribute])
    if not node.input(index):
        return None
    number: float = net.needed_constant(index, f"a limit ({attribute})").tensor.item()
    return number


def _is_per_channel(slope: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Return whether ``slope`` has one value for each index of dimension 1 of a tensor of ``shape``."""
    if len(shape) < 2 or len(slope) > len(shape):
        return False
    padded = (1,) * (len(shape) - len(slope)) + slope
    return padded == (1, shape[1], *(1 for _ in shape[2:]))
