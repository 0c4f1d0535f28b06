"""A network of one's own that is built in seconds, from the command line alone."""

from __future__ import annotations

NETWORK = """
import torch
from torch import nn

def make():
    return nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 12, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4),
    )

def data():
    def split(n):
        rng = torch.Generator().manual_seed(n)
        labels = torch.arange(n) % 4
        images = torch.rand(n, 1, 8, 8, generator=rng) + labels[:, None, None, None]
        return torch.utils.data.TensorDataset(images, labels)

    return {"train": split(128), "validation": split(64), "test": split(60)}
"""
ARGUMENTS = [
    "build", "--model", "net.py:make", "--weights", "net.safetensors", "--data", "net.py:data", "--input", "1,1,8,8",
    "--epochs", "2", "--set", "training.batch_size=32", "--set", "training.precision=float32", "--budget", "macs=0.4",
    "--target", "board.toml",
]  # fmt: skip
