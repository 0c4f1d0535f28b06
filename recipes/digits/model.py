"""A small CNN with the three ways in which channels get coupled: a sum, a depthwise convolution and a concatenation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv_bn_relu(in_channels: int, channels: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


class Residual(nn.Module):
    """Two convolutions whose result is added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv_bn_relu(channels, channels, 3)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.bn2(self.conv2(self.conv1(x))))


class DigitsNet(nn.Module):
    """Images (N, 1, 8, 8) to logits (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn_relu(1, 32, 3)
        self.residual = Residual(32)
        self.depthwise = conv_bn_relu(32, 32, 3, stride=2, groups=32)
        self.pointwise = conv_bn_relu(32, 64, 1)
        self.narrow = conv_bn_relu(64, 32, 1)
        self.wide = conv_bn_relu(64, 32, 3)
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.residual(self.stem(x))
        x = self.pointwise(self.depthwise(x))
        x = torch.cat([self.narrow(x), self.wide(x)], dim=1)
        return self.linear(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))
