"""A small fine-tuning run that a test can kill for real.

The settings of ``STEADY`` keep their state at every step.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeprune.config import TrainingSettings
from edgeprune.model.data import Augment, Data, TensorSplit
from edgeprune.progress import SILENT, Progress, Silent
from edgeprune.training import History, Hook, Phase, Trainer, finetune

SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"precision": "float32", "channels_last": False},
    "adamw-bfloat16": {
        "optimizer": "adamw", "lr": 0.003, "precision": "bfloat16", "channels_last": True,
        "warmup_epochs": 0.5, "gradient_clip": 1.0, "label_smoothing": 0.1,
    },
    "auto": {"precision": "auto", "channels_last": "auto"},
    "range-test": {"lr": "auto", "precision": "float32", "channels_last": False},
    # Two phases, the second of which begins within an epoch, with a hook that has a state.
    "phases": {
        "ema": 0.9, "step": "run_to_kill.py:mixed_up", "metric": "run_to_kill.py:accuracy",
        "precision": "float32", "channels_last": False,
    },
    # Twice the rate at which this converges: it has to be taken back.
    "explodes": {
        "loss": "run_to_kill.py:squared", "lr": 0.08, "momentum": 0.0, "warmup_epochs": 1.0,
        "precision": "float32", "channels_last": False,
    },
    # NaN in step 8, unless a file says that this was so once.
    "breaks": {"step": "run_to_kill.py:breaking", "precision": "float32", "channels_last": False},
}  # fmt: skip
STEADY = ("phases", "explodes", "breaks")
BROKE = "RUN_TO_KILL_BROKE"  # the environment variable with the name of that file
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


def model(name: str = "sgd") -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "explodes":
            return nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 1)).eval()
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2),
            nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4),
        ).eval()  # fmt: skip


def mixed_up(network: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    """A step that draws from every generator there is."""
    share = float(np.random.beta(0.4, 0.4)) if random.random() < 0.8 else 1.0  # noqa: NPY002
    other = torch.randperm(len(inputs))
    outputs = network(share * inputs + (1 - share) * inputs[other])
    mixed = share * functional.cross_entropy(outputs, labels)
    return mixed + (1 - share) * functional.cross_entropy(outputs, labels[other])


def squared(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs[:, 0] - labels).square().mean()


def breaking(network: nn.Module, inputs: Tensor, labels: Tensor) -> Tensor:
    loss = functional.cross_entropy(network(inputs), labels)
    broke = Path(os.environ[BROKE])
    if network.training and int(network[1].num_batches_tracked) == 8 and not broke.exists():
        broke.touch()
        return loss * float("nan")
    return loss


def accuracy(network: nn.Module, split: TensorSplit) -> float:
    inputs, labels = next(split.batches(len(split)))
    return float((network(inputs).argmax(1) == labels).float().mean())


class _Drifts(Hook):
    """Remembers gradients for longer than the optimiser does, and moves the weights a little by them."""

    def __init__(self, network: nn.Module) -> None:
        self.weight = network[0].weight
        self.memory = torch.zeros(())

    def begin(self, steps: int) -> None:
        self.memory = torch.zeros_like(self.weight)

    def before_update(self, step: int) -> None:
        self.memory = 0.99 * self.memory + self.weight.grad

    def after_update(self, step: int) -> None:
        with torch.no_grad():
            self.weight -= 1e-3 * (step + 1) * self.memory

    def end(self) -> None:
        with torch.no_grad():
            self.weight += 1e-3 * self.memory

    def state_dict(self) -> dict[str, Any]:
        return {"memory": self.memory}

    def load_state_dict(self, state: Any) -> None:
        self.memory = state["memory"].clone()


def train(network: nn.Module, name: str, folder: Path, progress: Progress = SILENT) -> History:
    if name not in STEADY:
        return finetune(network, data(), settings(name), seed=7, folder=folder, progress=progress)
    trainer = Trainer(
        network, data(), settings(name), seed=7, folder=folder, base=Path(__file__).parent,
        checkpoint_s=0.0, progress=progress,
    )  # fmt: skip
    if name == "phases":
        trainer.train(Phase(fraction=0.45, rate=(0.0, 0.5), hook=_Drifts(network)))
        trainer.train(Phase(fraction=0.55, rate=(0.2, 1.0), hook=_Drifts(network), reset_optimizer=True))
    else:
        trainer.train(Phase(fraction=1.0))
    return trainer.finish()


class _KillAfterRollback(Silent):
    def __init__(self) -> None:
        self.back = False

    def advance(self, steps: int = 1, **figures: float) -> None:
        if self.back:
            os.kill(os.getpid(), signal.SIGKILL)
        self.back = steps < 0


class _KillAtStep(Silent):
    def __init__(self, step: int) -> None:
        self.left = step

    def advance(self, steps: int = 1, **figures: float) -> None:
        self.left -= steps
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _kill_at_file(number: int) -> None:
    calls = 0

    def hook(event: str, _arguments: object) -> None:
        nonlocal calls
        if event == "os.rename":
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def train_until(moment: str, name: str, folder: Path) -> None:
    """Train with SIGKILL at a moment.

    ``steps:K`` is when step K is reported, ``files:K`` just before file K is put in place, and ``rollback`` the first
    step after training was taken back.
    """
    moment, _, count = moment.partition(":")
    if moment == "files":
        _kill_at_file(int(count))
    progress: dict[str, Progress] = {"steps": _KillAtStep(int(count or 0)), "rollback": _KillAfterRollback()}
    train(model(name), name, folder, progress.get(moment, SILENT))
