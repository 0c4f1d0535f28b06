"""Six small tasks that a newcomer might bring: a network and a data function each, as ``edgeprune build`` takes them.

    edgeprune build --input 1,3,32,32 \
        --model scripts/small_tasks.py:photos_net --data scripts/small_tasks.py:photos_data

Every data set is drawn with a fixed seed from what scikit-learn ships or from a formula; only ``speech`` reads files:
the Free Spoken Digit Dataset as ``fsdd/{train,validation,test}.npz``. Each has a test part that no choice is made on.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_sample_images, make_classification
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from edgeprune.model.data import Split

Splits = dict[str, TensorDataset]


@dataclass(frozen=True)
class Task:
    """One task of the benchmark.

    Attributes:
        title: Row heading of the table.
        network: The factory, as ``file.py:name``.
        data: The data function, as ``file.py:name``.
        shape: Shape of the example input, the batch first.
        budget: Largest fraction of the dense network's MACs that may remain.
        epochs: Epochs of training for the dense network.
        lr: Peak learning rate of that training.
        folder: Subfolder of the data folder that the data function takes; None: it reads no files.
        metric: The metric, as ``file.py:name``; None: accuracy of class labels.
    """

    title: str
    network: str
    data: str
    shape: tuple[int, ...]
    budget: float = 0.5
    epochs: int = 20
    lr: float = 2e-3
    folder: str | None = None
    metric: str | None = None


def photos_net() -> nn.Module:
    """The README's own example."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def photos_data() -> Splits:
    """Patches (3, 32, 32) of two photographs; the class is the photograph and the fifth of its height they lie in.

    As in the README, 3,600 patches train and 400 validate; 1,000 more test. Patches may overlap across splits.
    """
    generator = np.random.default_rng(0)
    photographs = load_sample_images().images
    images: list[np.ndarray[Any, Any]] = []
    labels = []
    while len(images) < 5000:
        number = int(generator.integers(len(photographs)))
        height, width, _ = photographs[number].shape
        top, remaining = int(generator.integers(height - 31)), int(generator.integers(width - 31))
        fifth = top * 5 // height
        if (top + 31) * 5 // height == fifth:
            images.append(photographs[number][top : top + 32, remaining : remaining + 32].transpose(2, 0, 1))
            labels.append(5 * number + fifth)
    pixels = torch.from_numpy(np.stack(images)).float() / 255
    return _split((pixels - 0.45) / 0.25, torch.tensor(labels), validation=400, test=1000)


def _split(inputs: Tensor, labels: Tensor, *, validation: int, test: int) -> Splits:
    """Drawn samples need no further shuffling: the last ones test, those before validate, the rest trains."""
    train = len(inputs) - validation - test
    parts = zip(
        ("train", "validation", "test"),
        torch.split(inputs, [train, validation, test]),
        torch.split(labels, [train, validation, test]),
        strict=True,
    )
    return {role: TensorDataset(*tensors) for role, *tensors in parts}


class SpeechNet(nn.Module):
    """Log-mel frames (N, 40, 64) to logits (N, 10): 1-d convolutions, the middle ones depthwise-separable."""

    def __init__(self) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv1d(inputs, inputs, 5, stride, padding=2, groups=inputs, bias=False),
                nn.BatchNorm1d(inputs),
                nn.ReLU(),
                nn.Conv1d(inputs, outputs, 1, bias=False),
                nn.BatchNorm1d(outputs),
                nn.ReLU(),
            )

        self.stem = nn.Sequential(nn.Conv1d(40, 64, 5, padding=2, bias=False), nn.BatchNorm1d(64), nn.ReLU())
        self.blocks = nn.Sequential(block(64, 96, 2), block(96, 96, 1), block(96, 128, 2))
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean(2))


def speech_data(folder: Path) -> Splits:
    """Spoken digits as 40 log-mel energies over 64 frames of 32 ms every 16 ms, one second from the start."""
    return {role: _recordings(folder / f"{role}.npz") for role in ("train", "validation", "test")}


def _recordings(path: Path) -> TensorDataset:
    with np.load(path) as stored:
        audio, offsets, labels = stored["audio"], stored["offsets"], stored["labels"].astype(np.int64)
        rate = int(stored["rate"])
    window, hop, frames = 256, 128, 64
    signals = torch.zeros(len(labels), hop * (frames - 1))
    for index, (begin, end) in enumerate(itertools.pairwise(offsets)):
        recording = torch.from_numpy(audio[begin:end][: signals.shape[1]].astype(np.float32)) / 32768
        signals[index, : len(recording)] = recording
    spectra = torch.stft(signals, window, hop, window=torch.hann_window(window), return_complex=True).abs().square()
    energies = torch.log(_mel_filters(40, window, rate) @ spectra + 1e-6)
    return TensorDataset((energies + 7) / 4, torch.from_numpy(labels))


def _mel_filters(count: int, window: int, rate: int) -> Tensor:
    """Triangular filters (count, window / 2 + 1) at equal distances on the mel scale (O'Shaughnessy, 1987)."""
    highest = 2595 * math.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (torch.linspace(0, highest, count + 2) / 2595) - 1)
    frequencies = torch.linspace(0, rate / 2, window // 2 + 1)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0)


def table_net() -> nn.Module:
    """54 numbers to logits of 7 classes, as for the Covertype data."""
    return nn.Sequential(
        nn.Linear(54, 128), nn.BatchNorm1d(128), nn.ReLU(),
        nn.Linear(128, 128), nn.BatchNorm1d(128), nn.ReLU(),
        nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 7),
    )  # fmt: skip


def table_data() -> Splits:
    """10,000 rows in the shape of the Covertype data (54 columns, 7 classes), 24 columns of which carry information."""
    rows, labels = make_classification(
        10_000, 54, n_informative=24, n_redundant=10, n_classes=7, n_clusters_per_class=3, flip_y=0.02, random_state=0
    )
    inputs = torch.from_numpy(rows.astype(np.float32))
    return _split((inputs - inputs.mean(0)) / inputs.std(0), torch.from_numpy(labels), validation=1000, test=2000)


class ShapesNet(nn.Module):
    """A U-Net (Ronneberger et al., 2015) of three levels: images (N, 1, 32, 32) to class maps (N, 3, 32, 32)."""

    def __init__(self) -> None:
        super().__init__()

        def block(inputs: int, outputs: int) -> nn.Sequential:
            layers = [(inputs, outputs), (outputs, outputs)]
            return nn.Sequential(
                *(
                    nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
                    for a, b in layers
                )
            )

        self.down = nn.ModuleList([block(1, 16), block(16, 32)])
        self.bottom = block(32, 64)
        self.widen = nn.ModuleList([nn.ConvTranspose2d(64, 32, 2, 2), nn.ConvTranspose2d(32, 16, 2, 2)])
        self.up = nn.ModuleList([block(64, 32), block(32, 16)])
        self.head = nn.Conv2d(16, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.down:
            skips.append(down(x))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.bottom(x)
        for widen, up in zip(self.widen, self.up, strict=True):
            x = up(torch.cat([widen(x), skips.pop()], 1))
        return self.head(x)


def shapes_data() -> Splits:
    """Noisy grey images (1, 32, 32) with a disc and a square; each pixel is background, disc or square."""
    generator = torch.Generator().manual_seed(0)
    count = 2000
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    labels = torch.zeros(count, 32, 32, dtype=torch.long)
    images = torch.zeros(count, 1, 32, 32)
    for label in (1, 2):
        centers = 6 + 20 * torch.rand(count, 2, 1, 1, generator=generator)
        sizes = 3 + 5 * torch.rand(count, 1, 1, generator=generator)
        across, along = (rows - centers[:, 0]).abs(), (columns - centers[:, 1]).abs()
        inside = (
            across.square() + along.square() < sizes.square() if label == 1 else torch.maximum(across, along) < sizes
        )
        labels[inside] = label
        brightness = 0.4 + 0.6 * torch.rand(count, 1, 1, generator=generator)
        images[:, 0] = torch.where(inside, brightness, images[:, 0])
    images += 0.25 * torch.randn(images.shape, generator=generator)
    return _split(images, labels, validation=200, test=400)


def mean_iou(model: Callable[[Tensor], Tensor], split: Split) -> float:
    """Intersection over union of each class over all pixels, averaged over the three classes."""
    intersection, union = torch.zeros(3), torch.zeros(3)
    for images, labels in split.batches(64):
        result = model(images).argmax(1)
        for label in range(3):
            intersection[label] += ((result == label) & (labels == label)).sum()
            union[label] += ((result == label) | (labels == label)).sum()
    return float((intersection / union).mean())


class SequenceNet(nn.Module):
    """A transformer encoder of two layers (Vaswani et al., 2017): (N, 24, 8) to logits (N, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 48)
        self.position = nn.Parameter(0.02 * torch.randn(24, 48))
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(48, 4, 96, dropout=0.0, batch_first=True), 2, enable_nested_tensor=False
        )
        self.head = nn.Linear(48, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x) + self.position).mean(1))


def sequence_data() -> Splits:
    """Sequences of 24 noisy one-hot symbols of 8; the class is the order in which 0, 1 and 2 occur."""
    generator = torch.Generator().manual_seed(0)
    count = 6000
    symbols = torch.randint(3, 8, (count, 24), generator=generator)
    places = torch.rand(count, 24, generator=generator).argsort(1)[:, :3]
    symbols.scatter_(1, places, torch.arange(3).expand(count, 3))
    first, second = places[:, 0], places[:, 1]
    third = places[:, 2]
    labels = 3 * (first < second).long() + (third < first).long() + (third < second).long()
    inputs = functional.one_hot(symbols, 8).float() + 0.3 * torch.randn(count, 24, 8, generator=generator)
    return _split(inputs, labels, validation=600, test=1000)


_DIGITS = Path(__file__).resolve().parents[1] / "recipes" / "digits"

TASKS = {
    "photos": Task(
        "photographs, README's network",
        f"{__file__}:photos_net",
        f"{__file__}:photos_data",
        (1, 3, 32, 32),
        epochs=30,
        lr=1e-2,
    ),
    "digits": Task("digits at 25 %", f"{_DIGITS}/model.py:DigitsNet", f"{_DIGITS}/data.py:load", (1, 1, 8, 8), 0.25),
    "speech": Task(
        "spoken digits, 1-d network",
        f"{__file__}:SpeechNet",
        f"{__file__}:speech_data",
        (1, 40, 64),
        epochs=10,
        folder="fsdd",
    ),
    "table": Task("table, MLP", f"{__file__}:table_net", f"{__file__}:table_data", (1, 54), epochs=30),
    "shapes": Task(
        "shapes, U-Net",
        f"{__file__}:ShapesNet",
        f"{__file__}:shapes_data",
        (1, 1, 32, 32),
        epochs=8,
        metric=f"{__file__}:mean_iou",
    ),
    "sequence": Task(
        "sequences, transformer", f"{__file__}:SequenceNet", f"{__file__}:sequence_data", (1, 24, 8), epochs=20
    ),
}
