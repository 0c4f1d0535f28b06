"""Small networks of torch with operators that have no TFLite operator of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Recurrent(nn.Module):
    def __init__(self, kind: str, *, last: bool, **options: object) -> None:
        super().__init__()
        self.recurrent = getattr(nn, kind)(5, 8, batch_first=True, **options)
        self.head = nn.Linear(16 if options.get("bidirectional") else 8, 3)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        sequence, _ = self.recurrent(x)
        result: Tensor = self.head(sequence[:, -1] if self.last else sequence)
        return result


class Video(nn.Module):
    """3-D convolutions: dense, depthwise with strides, along the depth alone, and pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Conv3d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm3d(8)
        self.pool = nn.MaxPool3d(2)
        self.depthwise = nn.Conv3d(8, 8, 3, padding=1, groups=8, stride=(1, 2, 2))
        self.temporal = nn.Conv3d(8, 8, (3, 1, 1), padding=(1, 0, 0))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.norm(self.dense(x))))
        x = F.relu(self.temporal(F.relu(self.depthwise(x))))
        result: Tensor = self.head(x.mean((2, 3, 4)))
        return result


class UNet3d(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner = nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 8, 3, padding=1)
        self.pool, self.up, self.last = nn.AvgPool3d(2), nn.ConvTranspose3d(8, 4, 2, 2), nn.Conv3d(8, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = F.relu(self.first(x))
        inner = F.relu(self.inner(self.pool(first)))
        result: Tensor = self.last(torch.cat([first, self.up(inner)], 1))
        return result


class Tracker(nn.Module):
    """A part of the features is the kernel of a depthwise correlation."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x)
        kernel = features[:, :, 4:8, 4:8].reshape(8, 1, 4, 4)
        return F.conv2d(features, kernel, groups=8)


class Assignment(nn.Module):
    """Assignments to parts of a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x).clone()
        y[:, 0] = 0
        y[:, 2:4] = y[:, 2:4] * 2
        y[..., 1::2] = torch.relu(y[..., 1::2])
        return y


class Spectrogram(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(64))
        self.head = nn.Linear(33, 4)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.stft(x, 64, 32, window=self.window, center=False, return_complex=True)
        power = torch.view_as_real(spectrum).square().sum(-1)
        result: Tensor = self.head(power.transpose(1, 2).sqrt())
        return result


class Attention(nn.Module):
    """Attention with a constant mask of one of several kinds."""

    def __init__(self, mask: str) -> None:
        super().__init__()
        self.project, self.head, self.mask = nn.Linear(16, 48), nn.Linear(16, 4), mask

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).view(x.shape[0], -1, 3, 2, 8).permute(2, 0, 3, 1, 4)
        later = torch.ones(10, 10, dtype=torch.bool).triu(1)
        if self.mask == "causal":
            attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        elif self.mask == "bool":
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=~later)
        elif self.mask == "float":
            added = torch.zeros(10, 10).masked_fill(later, -torch.inf)
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=added)
        else:
            fill = -1e9 if self.mask == "large" else -torch.inf
            attended = (q @ k.transpose(-2, -1)).masked_fill(later, fill).softmax(-1) @ v
        result: Tensor = self.head(attended.transpose(1, 2).flatten(2))
        return result


class SpatialTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.features = nn.Linear(64, 6), nn.Conv2d(1, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        transform = torch.tanh(self.layer(x.flatten(1))).view(-1, 2, 3)
        grid = F.affine_grid(transform, [1, 1, 8, 8], align_corners=False)
        result: Tensor = self.features(F.grid_sample(x, grid, align_corners=False))
        return result


class Restoration(nn.Module):
    """Bicubic and bilinear resizing by factors that TFLite's modes do not have."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.interpolate(self.features(x), scale_factor=1.3, mode="bilinear", recompute_scale_factor=False)
        return F.interpolate(y, scale_factor=2, mode="bicubic")


class ConstantProducts(nn.Module):
    """Products of computed with constant batches of matrices, on either side."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Parameter(torch.randn(3, 6, 5)), nn.Parameter(torch.randn(3, 7, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.left @ (x @ self.right)


class Repetition(nn.Module):
    """Repeated elements, and a constant token in front, as in vision transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.token = nn.Linear(6, 8), nn.Parameter(torch.randn(1, 1, 8))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.token.expand(x.shape[0], -1, -1), self.layer(x).repeat(1, 2, 1)], 1)
        return y.repeat_interleave(2, 2) + y.mean(1, keepdim=True).repeat(1, 1, 2).expand(-1, 11, -1)


@dataclass(frozen=True)
class Case:
    """A network, the shape of a sample, and the largest error of the int8 file relative to the standard deviation."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    int8_error: float = 0.05


def _recurrent(kind: str, **options: bool | int | str) -> Case:
    return Case(partial(Recurrent, kind, **options), (12, 5))


CASES: Mapping[str, Case] = {
    "lstm": _recurrent("LSTM", last=True),
    "lstm-sequence": _recurrent("LSTM", last=False, bidirectional=True, num_layers=2),
    "gru": _recurrent("GRU", last=True, num_layers=2),
    "gru-sequence": _recurrent("GRU", last=False, bidirectional=True),
    "rnn": _recurrent("RNN", last=True),
    "rnn-relu": _recurrent("RNN", last=False, nonlinearity="relu"),
    "video": Case(Video, (3, 8, 16, 16)),
    "unet3d": Case(UNet3d, (1, 8, 8, 8)),
    "tracker": Case(Tracker, (3, 16, 16)),
    "assignment": Case(Assignment, (5, 6)),
    "spectrogram": Case(Spectrogram, (512,)),
    "restoration": Case(Restoration, (3, 8, 8)),
    "constant-products": Case(ConstantProducts, (3, 5, 7)),
    "repetition": Case(Repetition, (5, 6)),
    "spatial-transformer": Case(SpatialTransformer, (1, 8, 8), int8_error=0.1),
    **{f"attention-{mask}": Case(partial(Attention, mask), (10, 16)) for mask in ("causal", "bool", "float", "fill")},
    "attention-large": Case(partial(Attention, "large"), (10, 16)),
}
"""Networks by name."""
