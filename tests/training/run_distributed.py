"""Small training runs, for one process or several: ``torchrun --nproc-per-node N run_distributed.py FOLDER CASE...``.

Process K is given FOLDER/K/CASE to write to, so that what any but the first writes shows. ``result.safetensors`` in
FOLDER/0/CASE is what the network ends with. ``CASE:K`` has the first process killed when step K is reported.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    warnings.simplefilter("error")

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from edgeprune.config import DistillationSettings, TrainingSettings
from edgeprune.model import weights
from edgeprune.model.data import Augment, Data, DatasetSplit, Split, TensorSplit
from edgeprune.progress import SILENT, Progress, Silent
from edgeprune.training import History, Hook, Phase, Teacher, Trainer, process_group

_LABELS = {"distillation": DistillationSettings(weight=0)}
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "uneven": {"batch_size": 15},
    "foreign": {"batch_size": 15},
    "samples": {"batch_size": 15},
    "everything": {
        "batch_size": 15, "ema": 0.9, "gradient_clip": 0.5, "label_smoothing": 0.1, "warmup_epochs": 1.0,
        "distillation": DistillationSettings(features=0.5),
    },
    "adamw": {"optimizer": "adamw", "lr": 0.003},
    "frozen": {"batchnorm": "freeze"},
    "parts": {"step": "run_distributed.py:by_parts", "metric": "run_distributed.py:accuracy"},
    "rollback": {},
    "hook": {},
}  # fmt: skip
EPOCHS = 2
STEPS = 3  # an epoch of 16 a step


class Net(nn.Module):
    """Convolution, BatchNorm with images and with features; ``spare`` is left out now and then by a step."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten())
        self.norm = nn.BatchNorm1d(6 * 16, momentum=None)
        self.spare = nn.Linear(6 * 16, 6 * 16, bias=False)
        self.head = nn.Linear(6 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.body(x)))
        return logits


def by_parts(model: Net, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """A step that calls parts of the network, and one layer on some processes and steps alone."""
    features = model.body(inputs)
    if model.training and int(labels.sum()) % 2:
        features = features + model.spare(features)
    return {"loss": functional.cross_entropy(model.head(model.norm(features)), labels)}


def accuracy(model: nn.Module, split: Split) -> float:
    right = [(model(inputs).argmax(1) == labels).float().mean() for inputs, labels in split.batches(64)]
    return float(sum(right) / len(right))


class _Foreign:
    """A split of one's own, which knows nothing of parts."""

    def __init__(self, split: Split) -> None:
        self._split = split

    def __len__(self) -> int:
        return len(self._split)

    def batches(self, size: int, **options: Any) -> Iterator[tuple[Tensor, Tensor]]:
        return self._split.batches(size, **options)


class _Samples(Dataset[tuple[Tensor, int]]):
    """Samples with noise of their own."""

    def __init__(self, split: TensorSplit) -> None:
        self._split = split

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self._split.images[index].float() / 255
        return image + 0.1 * torch.randn(image.shape), int(self._split.labels[index])


class _BreaksOnce(nn.Module):
    """Gives NaN in the last process at training step 5, once."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += self.training
        broken = self.training and self.seen == STEPS + 2 and process_group().rank == process_group().count - 1
        return self.net(x) * (float("nan") if broken else 1.0)


class _Shrinks(Hook):
    """Halves the gradients, which are those of all processes, every other step."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def before_update(self, step: int) -> None:
        for parameter in self.model.parameters():
            if parameter.grad is not None and step % 2:
                parameter.grad *= 0.5


class _KillAt(Silent):
    def __init__(self, step: int) -> None:
        self.left = step

    def advance(self, steps: int = 1, **figures: float) -> None:
        self.left -= steps
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _data(case: str) -> Data:
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (STEPS * 16 + 34,), generator=rng)
    images = torch.randint(200, (len(labels), 2, 6, 6), generator=rng, dtype=torch.uint8)
    images[torch.arange(len(labels)), 0, labels] += 50
    cut = STEPS * 16 + 2
    train = TensorSplit(images[:cut], labels[:cut], augment=Augment(crop_padding=1, flip=True))
    validation = TensorSplit(images[cut:], labels[cut:])
    if case == "foreign":
        return Data(train=_Foreign(train), validation=validation)
    return Data(train=DatasetSplit(_Samples(train)) if case == "samples" else train, validation=validation)


def train(case: str, folder: Path, progress: Progress = SILENT) -> tuple[nn.Module, History]:
    torch.manual_seed(0)
    network: nn.Module = Net()
    network = _BreaksOnce(network) if case == "rollback" else network
    settings = TrainingSettings(
        **{
            "epochs": EPOCHS, "batch_size": 16, "lr": 0.05, "precision": "float32", "channels_last": True,
            **_LABELS, **CASES[case],
        }
    )  # fmt: skip
    teacher = None
    if Teacher.is_enabled(settings):
        torch.manual_seed(1)
        layers = {"body.1": None, "norm": None}
        teacher = Teacher(Net(), settings.distillation, layers=layers)
    trainer = Trainer(
        network, _data(case), settings, seed=3, folder=folder, teacher=teacher, base=Path(__file__).parent,
        checkpoint_s=0.0, progress=progress,
    )  # fmt: skip
    trainer.train(Phase(fraction=1.0, hook=_Shrinks(network) if case == "hook" else None))
    return network, trainer.finish()


def main(folder: Path, cases: list[str]) -> None:
    own = process_group()
    for case in cases:
        name, _, step = case.partition(":")
        network, history = train(name, folder / str(own.rank) / name, _KillAt(int(step)) if step else SILENT)
        for tensor in network.state_dict().values():
            first = own.broadcast(tensor.contiguous())
            assert torch.equal(tensor, first), f"{case}: process {own.rank} has other weights"
        assert own.broadcast([epoch.train_loss for epoch in history.epochs]) == [
            one.train_loss for one in history.epochs
        ]
        if own.first:
            weights.save(network.state_dict(), folder / "0" / name / "result.safetensors")
            (folder / "0" / name / "rollbacks").write_text(str(history.rollbacks))


def _end() -> None:
    """Threads that still talk to other processes now may abort this one, one time in many."""
    end = time.monotonic() + 10
    while remaining := _threads("gloo"):
        if time.monotonic() > end:
            print(f"threads of the process group are left: {remaining}", file=sys.stderr, flush=True)
            os._exit(70)
        time.sleep(0.02)  # one that was waited for may be listed still


def _threads(name: str) -> list[str]:
    names = []
    for file in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # it has ended
            names.append(file.read_text().strip())
    return [one for one in names if name in one]


if __name__ == "__main__":
    atexit.register(_end)  # before process_group() does: it is called after what that registers
    main(Path(sys.argv[1]), sys.argv[2:])
