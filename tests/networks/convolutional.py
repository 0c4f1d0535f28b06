"""Convolutional structures."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def block(inputs: int, outputs: int, **options: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, **options), nn.BatchNorm2d(outputs), nn.ReLU())


class Head(nn.Module):
    def __init__(self, channels: int, classes: int = 5) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mean((2, 3)))


class ConcatIntoGrouped(nn.Module):
    """Two branches joined, then a grouped convolution over both."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = block(3, 8), block(3, 8)
        self.grouped, self.head = block(16, 24, groups=4), Head(24)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.grouped(torch.cat([self.left(x), self.right(x)], 1)))


class ChannelShuffle(nn.Module):
    """Grouped convolutions with the channels of the groups interleaved between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = block(3, 12), block(12, 12, groups=3)
        self.third, self.head = block(12, 10), Head(10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x))
        n, c, h, w = x.shape
        x = x.view(n, 3, c // 3, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return self.head(self.third(x))


class SplitAndShuffle(nn.Module):
    """ShuffleNet v2: half of the channels pass, the other half is computed, then both are interleaved."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 16)
        self.branches = nn.ModuleList(block(8, 8) for _ in range(3))
        self.head = Head(16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for branch in self.branches:
            remaining, used = x.chunk(2, dim=1)
            x = torch.cat([remaining, branch(used)], 1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.head(x)


class SubPixel(nn.Module):
    """PixelShuffle: four channels become the pixels of one."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.up = block(3, 10), nn.Conv2d(10, 24, 3, padding=1)
        self.shuffle, self.last = nn.PixelShuffle(2), nn.Conv2d(6, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.shuffle(self.up(self.body(x))))


class UNet(nn.Module):
    """Transposed convolutions and skips."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2, self.middle = block(3, 8), block(8, 12), block(12, 16)
        self.up2, self.join2 = nn.ConvTranspose2d(16, 12, 2, stride=2), block(24, 12)
        self.up1, self.join1 = nn.ConvTranspose2d(12, 8, 2, stride=2), block(16, 8)
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.down1(x)
        two = self.down2(F.max_pool2d(one, 2))
        x = self.middle(F.max_pool2d(two, 2))
        x = self.join2(torch.cat([self.up2(x), two], 1))
        return self.last(self.join1(torch.cat([self.up1(x), one], 1)))


class GroupedTransposed(nn.Module):
    """Transposed convolutions with groups: depthwise, and a few channels each."""

    def __init__(self) -> None:
        super().__init__()
        self.first = block(3, 12)
        self.up = nn.ConvTranspose2d(12, 18, 2, stride=2, groups=3)
        self.depthwise = nn.ConvTranspose2d(18, 18, 2, stride=2, groups=18)
        self.last = nn.Conv2d(18, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.depthwise(self.up(self.first(x))))


class FlattenIntoLinear(nn.Module):
    """Every channel becomes 16 features."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.hidden, self.last = block(3, 6), nn.Linear(96, 20), nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.first(x), 4)
        return self.last(F.relu(self.hidden(x.flatten(1))))


class HardCodedSizes(nn.Module):
    """A forward with its sizes written down: no slicing of weights alone can prune it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = block(3, 6), block(6, 8), nn.Linear(128, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).reshape(-1, 6, 8, 8)
        return self.last(F.adaptive_avg_pool2d(self.second(x), 4).view(x.shape[0], 128))


class ZeroPaddedResidual(nn.Module):
    """He et al. 2015, shortcut option A."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one = block(3, 8), block(8, 8)
        self.conv, self.norm, self.head = nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), Head(16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.one(x)
        shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))
        return self.head(F.relu(self.norm(self.conv(x)) + shortcut))


class SharedConvolution(nn.Module):
    """One convolution in two branches, and one module called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 8, 3, padding=1)
        self.shared, self.head = block(8, 8), Head(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.shared(self.shared(self.left(x))) * self.shared(self.right(x)))


class CatOfItself(nn.Module):
    """``cat([x, x])``, and a concatenation of concatenations."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.last, self.head = block(3, 6), block(12, 5), block(23, 8), Head(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        twice = torch.cat([x, x], 1)
        return self.head(self.last(torch.cat([twice, torch.cat([self.two(twice), x], 1)], 1)))


class SqueezeAndExcite(nn.Module):
    """Channels multiplied by gates that are computed from them, inside a residual block."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = block(3, 12), block(12, 12)
        self.squeeze, self.excite, self.head = nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1), Head(12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.body(x)
        gate = self.excite(F.relu(self.squeeze(y.mean((2, 3), keepdim=True)))).sigmoid()
        return self.head(x + y * gate)


class DepthwiseSeparable(nn.Module):
    """A DS-CNN for keyword spotting, on one-dimensional signals."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(10, 16, 4, stride=2)
        self.depthwise = nn.Conv1d(16, 32, 3, padding=1, groups=16)
        self.pointwise, self.norm, self.last = nn.Conv1d(32, 24, 1), nn.BatchNorm1d(24), nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.pointwise(F.relu(self.depthwise(self.stem(x))))))
        return self.last(F.avg_pool1d(x, 4).mean(-1))


class SlicedContainers(nn.Module):
    """Forward that iterates over slices of its containers; a shared activation makes the exporter name the slices."""

    def __init__(self) -> None:
        super().__init__()
        activation = nn.ReLU()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), activation, nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 6, 1)
        )
        self.blocks = nn.ModuleList([nn.Conv2d(6, 6, 3, groups=6), activation, nn.Conv2d(6, 5, 1)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers[1::-1][::-1](x)
        for layer in [*self.layers[2:], *self.blocks[:1], *self.blocks[1:]]:
            x = layer(x)
        return x


class ConvLstm(nn.Module):
    """Gates from one convolution, states that start as zeros of a written-down size."""

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.head = nn.Conv2d(3 + 8, 32, 3, padding=1), Head(8)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.zeros(x.shape[0], 8, x.shape[2], x.shape[3])
        cell = torch.zeros_like(hidden)
        for _ in range(2):
            i, f, g, o = self.gates(torch.cat([x, hidden], 1)).chunk(4, 1)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = o.sigmoid() * cell.tanh()
        return self.head(hidden)


class InPlaceSlices(nn.Module):
    """Parts of a tensor of zeros are written in place."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 6, 1), block(10, 8), Head(8)

    def forward(self, x: Tensor) -> Tensor:
        joined = torch.zeros(x.shape[0], 10, x.shape[2], x.shape[3])
        joined[:, :4] = self.left(x)
        joined[:, 4:] = self.right(x).relu_()
        return self.head(self.last(joined))


class Broadcast(nn.Module):
    """A row of parameters multiplied in, a channel-wise buffer, a layer scale: none of them is in a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = block(3, 8), block(8, 8), Head(8)
        self.row = nn.Parameter(torch.randn(1, 32))
        self.scale = nn.Parameter(torch.full((8, 1, 1), 1e-6))
        self.register_buffer("offset", torch.arange(8.0).view(1, 8, 1, 1))
        self.register_buffer("step", torch.arange(8.0).view(1, 8, 1, 1), persistent=False)
        self.wide, self.narrow = nn.Linear(5, 32), nn.Linear(32, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.first(x)
        x = x + self.scale * self.second(x) + self.offset * self.step
        y = self.head(x)
        return {"classes": y, "extra": self.narrow(self.wide(y) * self.row)}


class Normalisations(nn.Module):
    """Group, instance and layer normalisation over channels, PReLU, a gated linear unit."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.few = nn.Conv2d(3, 16, 3), nn.GroupNorm(2, 16)
        self.second, self.many = nn.Conv2d(16, 16, 3), nn.GroupNorm(8, 16)
        self.third, self.instance, self.act = nn.Conv2d(16, 12, 3), nn.InstanceNorm2d(12, affine=True), nn.PReLU(12)
        self.gated, self.layer, self.last = nn.Conv2d(12, 20, 1), nn.LayerNorm(10), nn.Linear(10, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.many(self.second(F.relu(self.few(self.first(x))))).relu()
        x = F.glu(self.gated(self.act(self.instance(self.third(x)))), dim=1)
        return self.last(self.layer(x.permute(0, 2, 3, 1))).mean((1, 2))


class Parametrised(nn.Module):
    """Weight norm, spectral norm, frozen parameters and a frozen BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3, padding=1))
        self.second = nn.utils.parametrizations.spectral_norm(nn.Conv2d(8, 10, 3, padding=1))
        self.third, self.head = block(10, 12), Head(12)
        self.third.requires_grad_(requires_grad=False)
        for name in ("weight", "bias", "mean", "var"):
            self.register_buffer(f"frozen_{name}", torch.rand(8) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        scale = self.frozen_weight * (self.frozen_var + 1e-5).rsqrt()
        bias = self.frozen_bias - self.frozen_mean * scale
        x = F.relu(x * scale.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1))
        return self.head(self.third(self.second(x)))


class Resampled(nn.Module):
    """Resizing, a sampling grid, padding, rolling; several outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = block(3, 8), block(8, 6), nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        y = F.interpolate(self.first(F.pad(x, (1, 1, 1, 1), mode="reflect")), scale_factor=2, mode="bilinear")
        theta = torch.eye(2, 3).expand(x.shape[0], 2, 3) * 0.9
        y = F.grid_sample(y, F.affine_grid(theta, list(y.shape), align_corners=False), align_corners=False)
        y = self.second(F.pad(torch.roll(y, 1, 2), (1, 0, 1, 0)))
        return self.last(y), [self.last(F.max_pool2d(y, 2))]


class AuxiliaryHead(nn.Module):
    """A second head that only training uses."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head, self.aux = block(3, 8), block(8, 8), Head(8), Head(8)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = self.first(x)
        y = self.head(self.second(x))
        return (y, self.aux(x)) if self.training else y
