"""A MobileNetV2 for 32x32 images: inverted residuals (Sandler et al., 2018), narrow, with three resolutions."""

from __future__ import annotations

from torch import Tensor, nn

_STAGES = ((1, 16, 1, 1), (4, 24, 2, 2), (4, 32, 2, 2), (4, 64, 3, 1), (4, 96, 1, 1))
"""Expansion, channels, blocks and the stride of the first."""


class InvertedResidual(nn.Module):
    """1x1 to more channels, 3x3 depthwise, 1x1 to few, added to the input where the shape is the same."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = expansion * in_channels
        self.layers = nn.Sequential(
            *(_convolution(in_channels, hidden, 1) if expansion > 1 else ()),
            *_convolution(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.adds = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) to (N, out_channels, H / stride, W / stride)."""
        out: Tensor = self.layers(x)
        return x + out if self.adds else out


def build() -> nn.Module:
    """Images (N, 3, 32, 32) to logits (N, 10)."""
    layers: list[nn.Module] = [*_convolution(3, 16, 3)]
    channels = 16
    for expansion, out_channels, count, stride in _STAGES:
        for index in range(count):
            layers.append(InvertedResidual(channels, out_channels, stride if index == 0 else 1, expansion))
            channels = out_channels
    layers += [*_convolution(channels, 256, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10)]
    return nn.Sequential(*layers)


def _convolution(
    in_channels: int, out_channels: int, size: int, stride: int = 1, *, groups: int = 1
) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(in_channels, out_channels, size, stride, size // 2, groups=groups, bias=False)
    return convolution, nn.BatchNorm2d(out_channels), nn.ReLU6()
