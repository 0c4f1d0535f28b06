"""RAFT-S for optical flow (Teed and Deng 2020), at a small size and with the forward of its authors."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_LEVELS, _RADIUS = 2, 2


class FlowEncoder(nn.Module):
    """Features at an eighth of the size."""

    def __init__(self, width: int, normalization: type[nn.Module]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in (16, 24, 32):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), normalization(outputs), nn.ReLU(inplace=True)]
            inputs = outputs
        self.layers, self.output = nn.Sequential(*layers), nn.Conv2d(inputs, width, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.output(self.layers(image))


def coordinate_grid(count: int, height: int, width: int) -> Tensor:
    """Return the coordinates of the pixels, (count, 2, height, width), x first."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([columns, rows], dim=0).float()[None].repeat(count, 1, 1, 1)


def bilinear_sampler(image: Tensor, coordinates: Tensor) -> Tensor:
    """Sample at coordinates in pixels."""
    height, width = image.shape[-2:]
    x, y = coordinates.split([1, 1], dim=-1)
    grid = torch.cat([2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1], dim=-1)
    return functional.grid_sample(image, grid, align_corners=True)


def correlation_pyramid(one: Tensor, other: Tensor) -> list[Tensor]:
    """Correlation of all pairs of pixels, pooled over the second image."""
    count, width, rows, columns = one.shape
    one, other = one.view(count, width, rows * columns), other.view(count, width, rows * columns)
    correlation = torch.matmul(one.transpose(1, 2), other).view(count, rows, columns, 1, rows, columns)
    correlation = correlation / torch.sqrt(torch.tensor(width).float())
    pyramid = [correlation.reshape(count * rows * columns, 1, rows, columns)]
    for _ in range(_LEVELS - 1):
        pyramid.append(functional.avg_pool2d(pyramid[-1], 2, stride=2))
    return pyramid


def lookup(pyramid: list[Tensor], coordinates: Tensor) -> Tensor:
    """Correlations in a window around ``coordinates``, (N, levels * window, H, W)."""
    coordinates = coordinates.permute(0, 2, 3, 1)
    count, rows, columns, _ = coordinates.shape
    outputs = []
    for level, correlation in enumerate(pyramid):
        steps = torch.linspace(-_RADIUS, _RADIUS, 2 * _RADIUS + 1)
        delta = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
        center = coordinates.reshape(count * rows * columns, 1, 1, 2) / 2**level
        window = bilinear_sampler(correlation, center + delta.view(1, 2 * _RADIUS + 1, 2 * _RADIUS + 1, 2))
        outputs.append(window.view(count, rows, columns, -1))
    return torch.cat(outputs, dim=-1).permute(0, 3, 1, 2).contiguous()


class UpdateBlock(nn.Module):
    """Motion encoder, convolutional GRU and the head of the flow."""

    def __init__(self, hidden: int, context: int) -> None:
        super().__init__()
        planes = _LEVELS * (2 * _RADIUS + 1) ** 2
        self.convc1, self.convf1 = nn.Conv2d(planes, 32, 1), nn.Conv2d(2, 16, 7, padding=3)
        self.conv = nn.Conv2d(48, 30, 3, padding=1)
        size = hidden + context + 32
        self.convz, self.convr, self.convq = (nn.Conv2d(size, hidden, 3, padding=1) for _ in range(3))
        self.flow1, self.flow2 = nn.Conv2d(hidden, 32, 3, padding=1), nn.Conv2d(32, 2, 3, padding=1)

    def forward(self, state: Tensor, context: Tensor, correlation: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        motion = torch.cat([functional.relu(self.convc1(correlation)), functional.relu(self.convf1(flow))], dim=1)
        motion = torch.cat([functional.relu(self.conv(motion)), flow], dim=1)
        inputs = torch.cat([context, motion], dim=1)
        both = torch.cat([state, inputs], dim=1)
        update, reset = torch.sigmoid(self.convz(both)), torch.sigmoid(self.convr(both))
        candidate = torch.tanh(self.convq(torch.cat([reset * state, inputs], dim=1)))
        state = (1 - update) * state + update * candidate
        return state, self.flow2(functional.relu(self.flow1(state)))


class Raft(nn.Module):
    """Flow between two images after ``iterations`` updates, (N, 2, H, W)."""

    def __init__(self, hidden: int = 24, context: int = 16, iterations: int = 2) -> None:
        super().__init__()
        self.hidden, self.context, self.iterations = hidden, context, iterations
        self.fnet = FlowEncoder(32, nn.InstanceNorm2d)
        self.cnet = FlowEncoder(hidden + context, nn.BatchNorm2d)
        self.update_block = UpdateBlock(hidden, context)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        first, second = 2 * (first / 255.0) - 1.0, 2 * (second / 255.0) - 1.0
        features, others = torch.split(self.fnet(torch.cat([first, second], dim=0)), first.shape[0], dim=0)
        pyramid = correlation_pyramid(features, others)
        state, context = torch.split(self.cnet(first), [self.hidden, self.context], dim=1)
        state, context = torch.tanh(state), torch.relu(context)
        count, _, height, width = first.shape
        start = coordinate_grid(count, height // 8, width // 8)
        current = start.clone()
        for _ in range(self.iterations):
            correlation = lookup(pyramid, current)
            state, delta = self.update_block(state, context, correlation, current - start)
            current = current + delta
        size = (8 * (height // 8), 8 * (width // 8))
        return 8 * functional.interpolate(current - start, size=size, mode="bilinear", align_corners=True)
