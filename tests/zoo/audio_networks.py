"""Networks for audio and time series, with the forwards of their papers: views, slices and loops over time.

DS-CNN: Zhang et al. 2017, Hello Edge. BC-ResNet: Kim et al. 2021, Broadcasted Residual Learning. TC-ResNet: Choi et
al. 2019, Temporal Convolution for Real-time Keyword Spotting. TCN: Bai et al. 2018, An Empirical Evaluation of Generic
Convolutional and Recurrent Networks. CRNN: Shi et al. 2015, An End-to-End Trainable Neural Network for Image-based
Sequence Recognition. ConvGRU: Ballas et al. 2016, Delving Deeper into Convolutional Networks for Video.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from tests.zoo.zoo_family import Family, Made


class DsCnn(nn.Module):
    """DS-CNN for keywords on MFCC features, (N, 1, 49, 10)."""

    def __init__(self, channels: int = 64, blocks: int = 4, classes: int = 12) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Conv2d(1, channels, (10, 4), stride=(2, 2), padding=(4, 1), bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        ]
        for _ in range(blocks):
            layers += [
                nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.Conv2d(channels, channels, 1, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
            ]
        self.features, self.classifier = nn.Sequential(*layers), nn.Linear(channels, classes)

    def forward(self, features: Tensor) -> Tensor:
        maps = self.features(features)
        return self.classifier(functional.avg_pool2d(maps, maps.shape[-2:]).flatten(1))


class SubSpectralNorm(nn.Module):
    """Batch normalization of each of ``bands`` parts of the frequency axis."""

    def __init__(self, channels: int, bands: int = 5) -> None:
        super().__init__()
        self.bands, self.batch_norm = bands, nn.BatchNorm2d(channels * bands)

    def forward(self, maps: Tensor) -> Tensor:
        count, channels, frequencies, steps = maps.size()
        maps = maps.view(count, channels * self.bands, frequencies // self.bands, steps)
        return self.batch_norm(maps).view(count, channels, frequencies, steps)


class BroadcastedBlock(nn.Module):
    """Block of BC-ResNet: 2-D features over frequency, plus temporal features that are broadcast over it."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.transition = inputs != outputs
        if self.transition:
            self.expand = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
        self.frequency = nn.Sequential(
            nn.Conv2d(outputs, outputs, (3, 1), (stride, 1), (1, 0), groups=outputs, bias=False),
            SubSpectralNorm(outputs),
        )
        self.temporal = nn.Sequential(
            nn.Conv2d(outputs, outputs, (1, 3), 1, (0, dilation), (1, dilation), groups=outputs, bias=False),
            nn.BatchNorm2d(outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 1, bias=False),
            nn.Dropout2d(0.1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        shortcut = maps
        if self.transition:
            maps = self.expand(maps)
        maps = self.frequency(maps)
        residual = maps
        maps = self.temporal(maps.mean(2, keepdim=True)) + residual
        if not self.transition:
            maps = maps + shortcut
        return functional.relu(maps)


class BcResNet(nn.Module):
    """BC-ResNet for keywords on log-mel features, (N, 1, 40, T)."""

    def __init__(self, classes: int = 12) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 5, (2, 1), 2, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(
            BroadcastedBlock(16, 8),
            BroadcastedBlock(8, 8),
            BroadcastedBlock(8, 12, stride=2, dilation=2),
            BroadcastedBlock(12, 12, dilation=2),
            BroadcastedBlock(12, 16, stride=2, dilation=4),
            BroadcastedBlock(16, 16, dilation=4),
        )
        self.head = nn.Sequential(
            nn.Conv2d(16, 16, 5, padding=(0, 2), groups=16, bias=False), nn.Conv2d(16, 32, 1, bias=False)
        )
        self.normalization, self.classifier = nn.BatchNorm2d(32), nn.Conv2d(32, classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        maps = functional.relu(self.normalization(self.head(self.blocks(self.stem(features)))))
        scores = self.classifier(maps.mean(-1, keepdim=True))
        return scores.view(-1, scores.shape[1])


class TemporalBlock(nn.Module):
    """Residual block of TC-ResNet."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, (1, 9), (1, stride), (0, 4), bias=False)
        self.second = nn.Conv2d(outputs, outputs, (1, 9), padding=(0, 4), bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(3))
        self.shortcut = nn.Conv2d(inputs, outputs, 1, (1, stride), bias=False) if stride > 1 else None

    def forward(self, maps: Tensor) -> Tensor:
        inner = functional.relu(self.norms[0](self.first(maps)))
        inner = self.norms[1](self.second(inner))
        if self.shortcut is not None:
            maps = functional.relu(self.norms[2](self.shortcut(maps)))
        return functional.relu(inner + maps)


class TcResNet(nn.Module):
    """TC-ResNet8: MFCC features, (N, T, F), whose frequencies are the channels of a convolution over time."""

    def __init__(self, frequencies: int = 40, classes: int = 12) -> None:
        super().__init__()
        self.stem = nn.Conv2d(frequencies, 16, (1, 3), padding=(0, 1), bias=False)
        self.blocks = nn.Sequential(TemporalBlock(16, 24, 2), TemporalBlock(24, 32, 2), TemporalBlock(32, 48, 2))
        self.dropout, self.classifier = nn.Dropout(0.5), nn.Conv2d(48, classes, 1)

    def forward(self, features: Tensor) -> Tensor:
        maps = self.blocks(self.stem(features.permute(0, 2, 1).unsqueeze(2)))
        maps = functional.avg_pool2d(maps, (1, maps.size(3)))
        return self.classifier(self.dropout(maps)).squeeze(-1).squeeze(-1)


class Chomp(nn.Module):
    """Remove the padding after the end of a causal convolution."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, series: Tensor) -> Tensor:
        return series[:, :, : -self.size].contiguous()


class Tcn(nn.Module):
    """Temporal convolutional network on a series, (N, channels, T); the last step is classified."""

    def __init__(self, channels: int = 4, widths: tuple[int, ...] = (24, 24, 32), classes: int = 5) -> None:
        super().__init__()
        self.blocks, self.shortcuts = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(widths):
            padding, dilation = 2 * 2**level, 2**level
            layers: list[nn.Module] = []
            for inputs in (channels, width):
                convolution = nn.Conv1d(inputs, width, 3, padding=padding, dilation=dilation)
                layers += [weight_norm(convolution), Chomp(padding), nn.ReLU(), nn.Dropout(0.2)]
            self.blocks.append(nn.Sequential(*layers))
            self.shortcuts.append(nn.Conv1d(channels, width, 1) if channels != width else nn.Identity())
            channels = width
        self.classifier = nn.Linear(channels, classes)

    def forward(self, series: Tensor) -> Tensor:
        for block, shortcut in zip(self.blocks, self.shortcuts, strict=True):
            series = functional.relu(block(series) + shortcut(series))
        return self.classifier(series[:, :, -1])


class BidirectionalLstm(nn.Module):
    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.rnn, self.embedding = nn.LSTM(inputs, hidden, bidirectional=True), nn.Linear(hidden * 2, outputs)

    def forward(self, series: Tensor) -> Tensor:
        recurrent, _ = self.rnn(series)
        steps, count, hidden = recurrent.size()
        output = self.embedding(recurrent.view(steps * count, hidden))
        return output.view(steps, count, -1)


class Crnn(nn.Module):
    """CRNN on lines of text, (N, 1, 32, W); scores of each step, (T, N, classes)."""

    def __init__(self, classes: int = 37) -> None:
        super().__init__()
        widths, kernels, layers, inputs = (16, 32, 48, 48, 64, 64, 64), (3, 3, 3, 3, 3, 3, 2), [], 1
        pools = {0: (2, 2), 1: (2, 2), 3: ((2, 2), (2, 1), (0, 1)), 5: ((2, 2), (2, 1), (0, 1))}
        for index, (width, kernel) in enumerate(zip(widths, kernels, strict=True)):
            layers.append(nn.Conv2d(inputs, width, kernel, padding=0 if kernel == 2 else 1))
            if index in (2, 4, 6):
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU())
            if index in pools:
                layers.append(nn.MaxPool2d(*pools[index]))
            inputs = width
        self.cnn = nn.Sequential(*layers)
        self.rnn = nn.Sequential(BidirectionalLstm(64, 32, 32), BidirectionalLstm(32, 32, classes))

    def forward(self, lines: Tensor) -> Tensor:
        maps = self.cnn(lines)
        assert maps.size(2) == 1, "the height of the features is 1"
        return self.rnn(maps.squeeze(2).permute(2, 0, 1))


class ConvGru(nn.Module):
    """Convolutional GRU over frames, (N, T, C, H, W); the last state is classified."""

    def __init__(self, channels: int = 3, hidden: int = 24, classes: int = 5) -> None:
        super().__init__()
        self.hidden = hidden
        self.encoder = nn.Conv2d(channels, 16, 3, 2, 1)
        self.gates = nn.Conv2d(16 + hidden, 2 * hidden, 3, padding=1)
        self.candidate = nn.Conv2d(16 + hidden, hidden, 3, padding=1)
        self.classifier = nn.Linear(hidden, classes)

    def forward(self, frames: Tensor) -> Tensor:
        count, steps, channels, height, width = frames.shape
        maps = functional.relu(self.encoder(frames.reshape(count * steps, channels, height, width)))
        maps = maps.view(count, steps, *maps.shape[1:])
        state = torch.zeros(count, self.hidden, *maps.shape[-2:], device=frames.device)
        for step in range(steps):
            current = maps[:, step]
            gates = torch.sigmoid(self.gates(torch.cat([current, state], dim=1)))
            reset, update = torch.split(gates, self.hidden, dim=1)
            candidate = torch.tanh(self.candidate(torch.cat([current, reset * state], dim=1)))
            state = (1 - update) * state + update * candidate
        return self.classifier(state.mean((2, 3)))


def _ds_cnn() -> Made:
    return DsCnn(), (torch.randn(1, 1, 49, 10),)


def _bc_resnet() -> Made:
    return BcResNet(), (torch.randn(1, 1, 40, 50),)


def _tc_resnet() -> Made:
    return TcResNet(), (torch.randn(1, 98, 40),)


def _tcn() -> Made:
    return Tcn(), (torch.randn(1, 4, 64),)


def _crnn() -> Made:
    return Crnn(), (torch.randn(1, 1, 32, 64),)


def _conv_gru() -> Made:
    return ConvGru(), (torch.randn(1, 4, 3, 32, 32),)


AUDIO = Family(
    "Audio and time series",
    {
        "ds-cnn": _ds_cnn,
        "bc-resnet": _bc_resnet,
        "tc-resnet": _tc_resnet,
        "tcn": _tcn,
        "crnn": _crnn,
        "conv-gru": _conv_gru,
    },
)
