"""A small fine-tuning run that a test can kill for real: run as a script, or call ``train``.

python run_to_kill.py SETTINGS FOLDER steps:K     SIGKILL when step K is reported
python run_to_kill.py SETTINGS FOLDER files:K     SIGKILL just before file K is put in place
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgeprune.config import TrainingSettings
from edgeprune.model.data import Augment, Data, TensorSplit
from edgeprune.progress import SILENT, Progress
from edgeprune.training import History, finetune

SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"precision": "float32", "channels_last": False},
    "adamw-bfloat16": {
        "optimizer": "adamw", "lr": 0.003, "precision": "bfloat16", "channels_last": True,
        "warmup_epochs": 0.5, "gradient_clip": 1.0, "label_smoothing": 0.1,
    },
    "auto": {"precision": "auto", "channels_last": "auto"},
}  # fmt: skip
EPOCHS = 3
STEPS = 5  # an epoch


def settings(name: str) -> TrainingSettings:
    return TrainingSettings(**{"epochs": EPOCHS, "batch_size": 16, "lr": 0.05, **SETTINGS[name]})


def data() -> Data:
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(4, (STEPS * 16 + 40,), generator=rng)
    images = torch.randint(200, (len(labels), 3, 8, 8), generator=rng, dtype=torch.uint8)
    images[torch.arange(len(labels)), labels % 3, labels] += 50
    cut = STEPS * 16 + 3
    augment = Augment(crop_padding=1, flip=True)
    return Data(
        train=TensorSplit(images[:cut], labels[:cut], augment=augment),
        validation=TensorSplit(images[cut:], labels[cut:]),
    )


def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2),
            nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4),
        ).eval()  # fmt: skip


def train(network: nn.Module, name: str, folder: Path, progress: Progress = SILENT) -> History:
    return finetune(network, data(), settings(name), seed=7, folder=folder, progress=progress)


class _KillAtStep:
    def __init__(self, step: int) -> None:
        self.left = step

    def start(self, total: int) -> None:
        pass

    def advance(self, steps: int = 1, **figures: float) -> None:
        self.left -= steps
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _kill_at_file(number: int) -> None:
    seen = 0

    def hook(event: str, _arguments: object) -> None:
        nonlocal seen
        if event == "os.rename":
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


if __name__ == "__main__":
    moment, _, count = sys.argv[3].partition(":")
    if moment == "files":
        _kill_at_file(int(count))
    train(model(), sys.argv[1], Path(sys.argv[2]), _KillAtStep(int(count)) if moment == "steps" else SILENT)
