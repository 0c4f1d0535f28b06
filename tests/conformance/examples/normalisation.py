"""Normalisations."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.conformance.examples.base import Draw, Example, example, image, sequence


@example("batch_norm", "cudnn_batch_norm")
def _batch_norm(draw: Draw) -> Example:
    """Capture comes before the choice of a backend: it is ``batch_norm`` on a GPU too."""
    channels, rank = draw.size(2, 8), draw.size(1, 3)
    kind = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[rank]
    return image(draw, kind(channels, affine=draw.one_of(True, False)), channels, rank=rank)


class _NativeBatchNorm(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return torch.native_batch_norm(
            x, self.weight, self.bias, self.running_mean, self.running_var, False, 0.1, self.eps
        )[0]


@example("native_batch_norm")
def _native_batch_norm(draw: Draw) -> Example:
    channels = draw.size(2, 8)
    return image(draw, _NativeBatchNorm(channels), channels)


@example("instance_norm")
def _instance_norm(draw: Draw) -> Example:
    channels, (affine, tracked) = draw.size(2, 8), draw.one_of((True, True), (True, False), (False, True))
    norm = nn.InstanceNorm2d(channels, affine=affine, track_running_stats=tracked)
    return image(draw, norm, channels)


class _StandardizedConv(nn.Conv2d):
    """Convolution whose weights are standardized by a batch normalization, as in NFNet and BiT."""

    def __init__(self, channels: int, out: int, width: int) -> None:
        super().__init__(channels, out, 3, groups=channels // width)
        self.gain = nn.Parameter(torch.ones(out, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        weight = F.batch_norm(
            self.weight.reshape(1, self.out_channels, -1), None, None, weight=self.gain.view(-1), training=True
        )
        return F.conv2d(x, weight.reshape_as(self.weight), self.bias, groups=self.groups)


@example("batch_norm")
def _standardized_weights(draw: Draw) -> Example:
    channels, out = draw.size(2, 6), draw.size(2, 6)
    return image(draw, _StandardizedConv(channels, out, channels), channels, more={"op": out})


@example("layer_norm")
def _layer_norm(draw: Draw) -> Example:
    features = draw.size(3, 8)
    return sequence(draw, nn.LayerNorm(features, elementwise_affine=draw.one_of(True, False)), features)


@example("layer_norm")
def _layer_norm_of_positions(draw: Draw) -> Example:
    """Over channels and positions at once."""
    channels, own = draw.size(3, 8), draw.one_of(True, False)
    return image(draw, nn.LayerNorm((channels, 4, 4) if own else (4, 4)), channels)


class _NativeLayerNorm(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return torch.native_layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)[0]


@example("native_layer_norm")
def _native_layer_norm(draw: Draw) -> Example:
    features = draw.size(3, 8)
    return sequence(draw, _NativeLayerNorm(features), features)


@example("rms_norm")
def _rms_norm(draw: Draw) -> Example:
    features = draw.size(3, 8)
    return sequence(draw, nn.RMSNorm(features, elementwise_affine=draw.one_of(True, False)), features)


@example("group_norm")
def _group_norm(draw: Draw) -> Example:
    """Whole groups go, or the same places of each group: whichever are more."""
    groups, width = draw.size(1, 5), draw.size(2, 5)
    norm = nn.GroupNorm(groups, groups * width, affine=draw.one_of(True, False))
    return image(draw, norm, groups * width, max(groups, width))


class _LegacyWeightNorm(nn.Module):
    """``g`` and ``v`` by their old names, read along ``dim``."""

    def __init__(self, channels: int, out: int, dim: int, op: object) -> None:
        super().__init__()
        self.v = nn.Parameter(torch.randn(out, channels, 1, 1))
        sizes = [1, 1, 1, 1]
        sizes[dim] = self.v.shape[dim]
        self.g = nn.Parameter(1 + torch.rand(sizes))
        self.dim, self.op = dim, op

    def forward(self, x: Tensor) -> Tensor:
        weight = self.op(self.v, self.g, self.dim)  # type: ignore[operator]
        return F.conv2d(x, weight[0] if isinstance(weight, tuple) else weight)


@example("_weight_norm")
def _weight_norm(draw: Draw) -> Example:
    channels, out = draw.size(2, 6), draw.size(2, 6)
    op = _LegacyWeightNorm(channels, out, draw.size(0, 1), torch._weight_norm)
    return image(draw, op, channels, more={"op": out})


@example("_weight_norm_interface")
def _weight_norm_interface(draw: Draw) -> Example:
    channels, out = draw.size(2, 6), draw.size(2, 6)
    op = _LegacyWeightNorm(channels, out, 0, torch.ops.aten._weight_norm_interface)
    return image(draw, op, channels, more={"op": out})


@example("_weight_norm")
def _parametrised(draw: Draw) -> Example:
    channels, out = draw.size(2, 6), draw.size(2, 6)
    op = nn.utils.parametrizations.weight_norm(nn.Conv2d(channels, out, 3))
    return image(draw, op, channels, more={"op": out})
