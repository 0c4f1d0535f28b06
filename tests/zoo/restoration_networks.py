"""Networks for image restoration, with the forwards of their papers.

EDSR: Lim et al. 2017, Enhanced Deep Residual Networks. ESPCN: Shi et al. 2016, Real-Time Single Image and Video
Super-Resolution. NAFNet: Chen et al. 2022, Simple Baselines for Image Restoration. Restormer: Zamir et al. 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.zoo.zoo_family import Family, Made, images


class MeanShift(nn.Conv2d):
    """Subtraction (sign -1) or addition (sign 1) of the mean color, as a fixed convolution."""

    def __init__(self, sign: int) -> None:
        super().__init__(3, 3, 1)
        self.weight.data = torch.eye(3).view(3, 3, 1, 1)
        self.bias.data = sign * torch.tensor([0.4488, 0.4371, 0.4040])  # type: ignore[union-attr]
        self.requires_grad_(False)


class EdsrBlock(nn.Module):
    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(True), nn.Conv2d(width, width, 3, padding=1)
        )
        self.scale = scale

    def forward(self, maps: Tensor) -> Tensor:
        return self.body(maps).mul(self.scale) + maps


class Edsr(nn.Module):
    """EDSR: super-resolution by 4 with two pixel shuffles."""

    def __init__(self, width: int = 32, blocks: int = 4) -> None:
        super().__init__()
        self.sub_mean, self.add_mean = MeanShift(-1), MeanShift(1)
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Sequential(
            *(EdsrBlock(width, 0.1) for _ in range(blocks)), nn.Conv2d(width, width, 3, padding=1)
        )
        self.tail = nn.Sequential(
            nn.Conv2d(width, 4 * width, 3, padding=1),
            nn.PixelShuffle(2),
            nn.Conv2d(width, 4 * width, 3, padding=1),
            nn.PixelShuffle(2),
            nn.Conv2d(width, 3, 3, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        image = self.head(self.sub_mean(image))
        residual = self.body(image)
        residual += image
        return self.add_mean(self.tail(residual))


class Espcn(nn.Module):
    """ESPCN: super-resolution by 3 of one channel."""

    def __init__(self, factor: int = 3) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 64, 5, padding=2)
        self.second = nn.Conv2d(64, 32, 3, padding=1)
        self.third = nn.Conv2d(32, factor**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(factor)

    def forward(self, image: Tensor) -> Tensor:
        maps = torch.tanh(self.second(torch.tanh(self.first(image))))
        return torch.sigmoid(self.shuffle(self.third(maps)))


class LayerNorm2d(nn.Module):
    """Normalization over channels of NAFNet, written out."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels)), eps

    def forward(self, maps: Tensor) -> Tensor:
        channels = maps.size(1)
        mean = maps.mean(1, keepdim=True)
        variance = (maps - mean).pow(2).mean(1, keepdim=True)
        normal = (maps - mean) / (variance + self.eps).sqrt()
        return self.weight.view(1, channels, 1, 1) * normal + self.bias.view(1, channels, 1, 1)


class SimpleGate(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        one, other = maps.chunk(2, dim=1)
        return one * other


class NafBlock(nn.Module):
    """Block of NAFNet: simple gates and simplified channel attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.conv3 = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(width, width, 1)
        self.conv2 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.sca = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, width, 1))
        self.gate = SimpleGate()
        self.conv4, self.conv5 = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(width, width, 1)
        self.norm1, self.norm2 = LayerNorm2d(width), LayerNorm2d(width)
        self.beta = nn.Parameter(torch.zeros(1, width, 1, 1), requires_grad=True)
        self.gamma = nn.Parameter(torch.zeros(1, width, 1, 1), requires_grad=True)

    def forward(self, image: Tensor) -> Tensor:
        maps = self.gate(self.conv2(self.conv1(self.norm1(image))))
        maps = self.conv3(maps * self.sca(maps))
        image = image + maps * self.beta
        return image + self.conv5(self.gate(self.conv4(self.norm2(image)))) * self.gamma


class NafNet(nn.Module):
    """NAFNet with two levels; the image is padded to a multiple of 4 and cut again."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.intro, self.ending = nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, 3, 3, padding=1)
        widths = (width, 2 * width)
        self.encoders = nn.ModuleList(NafBlock(size) for size in widths)
        self.downs = nn.ModuleList(nn.Conv2d(size, 2 * size, 2, 2) for size in widths)
        self.middle = NafBlock(4 * width)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * size, 4 * size, 1, bias=False), nn.PixelShuffle(2)) for size in widths[::-1]
        )
        self.decoders = nn.ModuleList(NafBlock(size) for size in widths[::-1])

    def forward(self, image: Tensor) -> Tensor:
        _, _, height, width = image.shape
        padded = functional.pad(image, (0, (4 - width % 4) % 4, 0, (4 - height % 4) % 4))
        maps, skips = self.intro(padded), []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            maps = encoder(maps)
            skips.append(maps)
            maps = down(maps)
        maps = self.middle(maps)
        for decoder, up, skip in zip(self.decoders, self.ups, skips[::-1], strict=True):
            maps = decoder(up(maps) + skip)
        return (self.ending(maps) + padded)[:, :, :height, :width]


class BiasFreeLayerNorm(nn.Module):
    """Layer normalization of Restormer over the channels of an image, without a mean and a bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, maps: Tensor) -> Tensor:
        count, channels, height, width = maps.shape
        rows = maps.permute(0, 2, 3, 1).reshape(count, height * width, channels)
        variance = rows.var(-1, keepdim=True, unbiased=False)
        rows = rows / torch.sqrt(variance + 1e-5) * self.weight
        return rows.view(count, height, width, channels).permute(0, 3, 1, 2)


class RestormerBlock(nn.Module):
    """Attention between channels (MDTA), and a gated feed-forward network (GDFN)."""

    def __init__(self, width: int, heads: int, expansion: float = 2.66) -> None:
        super().__init__()
        hidden = int(width * expansion)
        self.heads, self.temperature = heads, nn.Parameter(torch.ones(heads, 1, 1))
        self.norm1, self.norm2 = BiasFreeLayerNorm(width), BiasFreeLayerNorm(width)
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(3 * width, 3 * width, 3, padding=1, groups=3 * width, bias=False)
        self.project_out = nn.Conv2d(width, width, 1, bias=False)
        self.project_in = nn.Conv2d(width, 2 * hidden, 1, bias=False)
        self.dwconv = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project_hidden = nn.Conv2d(hidden, width, 1, bias=False)

    def attend(self, maps: Tensor) -> Tensor:
        count, channels, height, width = maps.shape
        query, key, value = self.qkv_dwconv(self.qkv(maps)).chunk(3, dim=1)
        query, key, value = (
            part.reshape(count, self.heads, channels // self.heads, height * width) for part in (query, key, value)
        )
        query, key = functional.normalize(query, dim=-1), functional.normalize(key, dim=-1)
        scores = torch.einsum("bhcn,bhdn->bhcd", query, key) * self.temperature
        output = torch.einsum("bhcd,bhdn->bhcn", scores.softmax(dim=-1), value)
        return self.project_out(output.reshape(count, channels, height, width))

    def forward(self, maps: Tensor) -> Tensor:
        maps = maps + self.attend(self.norm1(maps))
        gate, value = self.dwconv(self.project_in(self.norm2(maps))).chunk(2, dim=1)
        return maps + self.project_hidden(functional.gelu(gate) * value)


class Restormer(nn.Module):
    """Restormer with two levels: pixel unshuffle downwards, pixel shuffle upwards."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.encoder, self.latent = RestormerBlock(width, 1), RestormerBlock(2 * width, 2)
        self.down = nn.Sequential(nn.Conv2d(width, width // 2, 3, padding=1, bias=False), nn.PixelUnshuffle(2))
        self.up = nn.Sequential(nn.Conv2d(2 * width, 4 * width, 3, padding=1, bias=False), nn.PixelShuffle(2))
        self.decoder = RestormerBlock(2 * width, 1)
        self.output = nn.Conv2d(2 * width, 3, 3, padding=1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        encoded = self.encoder(self.embed(image))
        latent = self.latent(self.down(encoded))
        return self.output(self.decoder(torch.cat([self.up(latent), encoded], 1))) + image


def _edsr() -> Made:
    return Edsr(), images(24)


def _espcn() -> Made:
    return Espcn(), images(24, channels=1)


def _nafnet() -> Made:
    return NafNet(), images(30)


def _restormer() -> Made:
    return Restormer(), images(32)


RESTORATION = Family("Restoration", {"edsr": _edsr, "espcn": _espcn, "nafnet": _nafnet, "restormer": _restormer})
