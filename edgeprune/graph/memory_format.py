"""Networks that torch cannot train on a CPU in channels-last order."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import torch
from torch import fx, nn

from edgeprune.graph.graph_operators import bind_arguments

_BLOCK = 16
"""Channels that oneDNN's kernels process at once (AVX-512; 8 with AVX2)."""
_CONVOLUTIONS = (torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding)


def is_channels_last_safe(model: nn.Module) -> bool:
    """Return whether gradients of ``model`` can be computed on a CPU in channels-last order.

    oneDNN (https://github.com/uxlfoundation/oneDNN/issues/6035) writes past its buffer when it computes the gradient of
    the weights of a 1 x 1 convolution with a stride and fewer input channels than its kernels process at once: the
    process crashes or hangs, or the gradient is wrong. Pruned shortcuts of residual networks are such convolutions.
    """
    return not any(_is_unsafe_module(module) for module in model.modules())


def _is_unsafe_module(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return _is_unsafe(module.weight.shape, module.stride, module.groups)
    return isinstance(module, fx.GraphModule) and any(_is_unsafe_call(module, node) for node in module.graph.nodes)


def _is_unsafe_call(module: fx.GraphModule, node: fx.Node) -> bool:
    if node.target not in _CONVOLUTIONS:
        return False
    arguments = bind_arguments(node.target, node.args, node.kwargs)
    weight = arguments["weight"]
    if weight.op != "get_attr":
        return False  # no weights of the network, so no gradient is computed
    return _is_unsafe(attrgetter(weight.target)(module).shape, arguments["stride"], arguments["groups"])


def _is_unsafe(weight: torch.Size, stride: int | str | Sequence[int], groups: int) -> bool:
    strides = [stride] if isinstance(stride, int) else stride
    return weight[2:].numel() == 1 and any(step != 1 for step in strides) and groups == 1 and weight[1] < _BLOCK
