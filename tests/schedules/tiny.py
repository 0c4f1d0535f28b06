"""A network and data to try schedules on, as small as they can be."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeprune.model.data import TensorSplit

IMAGE = (1, 6, 6)
CLASSES = 3


class Small(nn.Module):
    """A residual network; with ``fixed`` its forward has the dense width written down."""

    def __init__(self, *, norm: bool = True, fixed: bool = False) -> None:
        super().__init__()
        self.fixed = fixed
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.conv1 = nn.Conv2d(8, 12, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(12) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(12, 8, 3, padding=1)
        self.drop = nn.Dropout(0.0)
        self.linear = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = x + self.conv2(self.bn1(self.conv1(x)).relu())
        x = functional.adaptive_avg_pool2d(x, 2)
        logits: Tensor = self.linear(self.drop(x.reshape(-1, 32) if self.fixed else x.flatten(1)))
        return logits


def small(seed: int = 0, *, norm: bool = True, fixed: bool = False) -> Small:
    """The network with fresh weights, in evaluation mode."""
    torch.manual_seed(seed)
    return Small(norm=norm, fixed=fixed).eval()


def split(seed: int = 0, count: int = 64) -> TensorSplit:
    """Images of noise, the brighter the larger their label."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (count,), generator=rng)
    return TensorSplit(torch.randn(count, *IMAGE, generator=rng) + labels[:, None, None, None], labels)
