"""Networks whose lowering is known: small ones of each kind."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv(inner: int, outer: int, kernel: int = 3, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outer)
    )


class InvertedResidual(nn.Module):
    """Of MobileNetV2: its ReLU6 is a Clip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.body = nn.Sequential(
            conv(channels, wide, 1), nn.ReLU6(), conv(wide, wide, groups=wide), nn.ReLU6(), conv(wide, channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class SqueezeExcite(nn.Module):
    """Of MobileNetV3, its gate made of fully connected layers."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv(channels, channels)
        self.act = nn.Hardswish()
        self.gate = nn.Sequential(nn.Linear(channels, 4), nn.ReLU(), nn.Linear(4, channels), nn.Hardsigmoid())

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.conv(x))
        return x * self.gate(x.mean((2, 3)))[:, :, None, None]


class Shuffle(nn.Module):
    """Of ShuffleNet: half of the channels pass by, then all are shuffled."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(channels // 2, channels // 2), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        passed, changed = x.chunk(2, 1)
        x = torch.cat([passed, self.body(changed)], 1)
        batch, channels, high, wide = x.shape
        return x.view(batch, 2, channels // 2, high, wide).transpose(1, 2).reshape(batch, channels, high, wide)


class Transformer(nn.Module):
    """A vision transformer of one block: patches by a convolution, a class token, attention, GELU."""

    def __init__(self, dim: int = 16, heads: int = 2, tokens: int = 16) -> None:
        super().__init__()
        self.heads = heads
        self.patches = nn.Conv2d(3, dim, 2, 2)
        self.token = nn.Parameter(torch.randn(1, 1, dim))
        self.positions = nn.Parameter(torch.randn(1, tokens + 1, dim))
        self.norms = nn.ModuleList([nn.LayerNorm(dim) for _ in range(3)])
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.head = nn.Linear(dim, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        x = x + self.attention(self.norms[0](x))
        x = x + self.mlp(self.norms[1](x))
        return self.head(self.norms[2](x)[:, 0])

    def attention(self, x: Tensor) -> Tensor:
        batch, tokens, dim = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * (dim // self.heads) ** -0.5).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, dim))


class Shortcut(nn.Module):
    """Of the CIFAR ResNets: every second pixel, and zeros for the channels that are new."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv(channels, 2 * channels, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[1] // 2
        return F.relu(self.conv(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half)))


class Dense(nn.Module):
    """Of DenseNet: BatchNorm in front of the convolution, what comes out beside what went in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 4, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.body(x)], 1)


def seeded(network: nn.Module) -> nn.Module:
    """In evaluation mode, with statistics that are no identity."""
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()
