"""A data set that is easy to learn, networks of a few dozen weights, and settings that leave nothing to measure."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgeprune.config import DistillationSettings, TrainingSettings
from edgeprune.model.data import Data, TensorSplit

CLASSES = 3


def split(count: int, seed: int, **options: Any) -> TensorSplit:
    """Points around one centre a class."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=rng)
    return TensorSplit(torch.eye(4)[labels] + 0.3 * torch.randn(count, 4, generator=rng), labels, **options)


def data() -> Data:
    return Data(train=split(64, 0), validation=split(60, 1))


def model(seed: int = 0, width: int = 8) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = nn.Linear(4, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, CLASSES)
        return nn.Sequential(*layers).eval()


def settings(**changes: Any) -> TrainingSettings:
    """Four steps an epoch of ``data``, without a teacher."""
    plain = {
        "epochs": 3, "optimizer": "sgd", "batch_size": 16, "lr": 0.1, "precision": "float32", "channels_last": False,
        "distillation": DistillationSettings(weight=0),
    }  # fmt: skip
    return TrainingSettings(**{**plain, **changes})
