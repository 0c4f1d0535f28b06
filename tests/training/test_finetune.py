"""Fine-tuning: it learns, keeps the best epoch, and stops when the loss or the data is broken."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from edgeprune.config import TrainingSettings
from edgeprune.errors import DataError, TrainingError
from edgeprune.model import data, weights
from edgeprune.model.data import Augment, Data, TensorSplit
from edgeprune.training import History, evaluate, finetune
from edgeprune.training.step_plan import learning_rate

_CLASSES = 3


def _split(count: int, seed: int, **options: Any) -> TensorSplit:
    """Points around one centre a class: easy to learn."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(_CLASSES, (count,), generator=rng)
    return TensorSplit(torch.eye(4)[labels] + 0.3 * torch.randn(count, 4, generator=rng), labels, **options)


def _data() -> Data:
    return Data(train=_split(64, 0), validation=_split(60, 1))


def _model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, _CLASSES)).eval()


def _settings(**changes: Any) -> TrainingSettings:
    plain = {"epochs": 3, "batch_size": 16, "lr": 0.1, "precision": "float32", "channels_last": False}
    return TrainingSettings(**{**plain, **changes})


@pytest.mark.parametrize("changes", [{}, {"optimizer": "adamw", "lr": 0.05}, {"precision": "bfloat16"}])
def test_finetuning_lowers_the_loss(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = _model()
    history = finetune(model, _data(), _settings(epochs=8, **changes), folder=tmp_path)
    assert evaluate(model, _data().validation).accuracy > 0.9
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss
    assert not model.training


def test_finetuning_ends_with_the_weights_of_the_best_epoch(tmp_path: Path) -> None:
    model = _model()
    # So high a rate that accuracy goes up and down.
    history = finetune(model, _data(), _settings(epochs=6, lr=2.0, momentum=0.0), folder=tmp_path)
    accuracies = [epoch.validation_accuracy for epoch in history.epochs]
    assert accuracies[history.best_epoch - 1] == max(accuracies)
    assert max(accuracies) not in accuracies[history.best_epoch :]
    assert evaluate(model, _data().validation).accuracy == max(accuracies)
    assert torch.equal(weights.read(tmp_path / "best.safetensors")["0.weight"], model.state_dict()["0.weight"])


def test_the_result_follows_the_seed_alone(tmp_path: Path) -> None:
    states = []
    for index, seed in enumerate((1, 1, 2)):
        torch.manual_seed(index)
        model = _model()
        finetune(model, _data(), _settings(), seed=seed, folder=tmp_path / str(index))
        states.append(model.state_dict()["0.weight"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_no_epochs_change_nothing(tmp_path: Path) -> None:
    model = _model()
    assert finetune(model, _data(), _settings(epochs=0), folder=tmp_path) == History()
    assert torch.equal(model.state_dict()["0.weight"], _model().state_dict()["0.weight"])
    assert list(tmp_path.iterdir()) == []


def test_norms_and_biases_do_not_decay(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, _CLASSES))
    for parameter in model[1].parameters():  # no gradient reaches layer 0: decay is all that moves it
        nn.init.zeros_(parameter)
        parameter.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    finetune(model, _data(), _settings(weight_decay=0.1), folder=tmp_path)
    after = model.state_dict()
    assert float(after["0.weight"].norm()) < float(before["0.weight"].norm())
    assert torch.equal(after["0.bias"], before["0.bias"])


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    rates = [learning_rate(0.4, step, steps=40, warmup=10) for step in range(40)]
    assert rates[:10] == pytest.approx([0.04 * (step + 1) for step in range(10)])
    assert rates[10] == 0.4
    assert rates[25] == pytest.approx(0.2)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.01


def test_a_warm_up_as_long_as_the_training_never_falls() -> None:
    rates = [learning_rate(0.4, step, steps=20, warmup=20) for step in range(20)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.4)


def test_gradient_clipping_limits_a_step(tmp_path: Path) -> None:
    moved = []
    for clip in (None, 1e-6):
        model = _model()
        settings = _settings(epochs=1, batch_size=64, momentum=0.0, weight_decay=0.0, gradient_clip=clip, keep="last")
        finetune(model, _data(), settings, folder=tmp_path / str(clip))
        moved.append(float((model.state_dict()["0.weight"] - _model().state_dict()["0.weight"]).norm()))
    assert moved[1] <= 1e-7 < moved[0]


class _BreaksAt(nn.Module):
    """Gives NaN from training step ``step`` on, or, with ``late``, only once it is evaluated."""

    def __init__(self, step: int, *, late: bool = False) -> None:
        super().__init__()
        self.net = _model()
        self.step = step
        self.late = late
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += self.training
        broken = bool(self.seen >= self.step) and self.training != self.late
        return self.net(x) * (math.nan if broken else 1.0)


@pytest.mark.parametrize(("late", "message"), [
    (False, r"nan in epoch 2, step 3 of 4"), (True, "after epoch 2: .*NaN"),
])  # fmt: skip
def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_epoch(
    tmp_path: Path, late: bool, message: str
) -> None:
    with pytest.raises(
        TrainingError,
        match=message + r".*3 rollbacks.*best\.safetensors.*training\.lr",
    ) as caught:
        finetune(_BreaksAt(7, late=late), _data(), _settings(), folder=tmp_path)
    assert caught.value.exit_code == 1
    remaining = torch.load(tmp_path / "phase-1.pt", weights_only=True)
    assert [epoch["number"] for epoch in remaining["epochs"]] == [1]
    assert all(bool(torch.isfinite(tensor).all()) for tensor in remaining["model"].values())


def test_a_loss_that_breaks_in_the_first_epoch_names_the_step(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"epoch 1, step 2 of 4"):
        finetune(_BreaksAt(2), _data(), _settings(), folder=tmp_path)


def test_a_rate_that_is_far_too_high_is_caught(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="training\\.lr"):
        finetune(_model(), _data(), _settings(lr=1e30), folder=tmp_path)


class _Samples(Dataset[tuple[Tensor, int]]):
    def __init__(self, *, bad_input: bool = False, bad_label: bool = False) -> None:
        self.bad_input, self.bad_label = bad_input, bad_label

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        value = math.nan if self.bad_input and index == 33 else float(torch.rand(()))
        return torch.full((4,), value), 9 if self.bad_label and index == 33 else index % _CLASSES


@pytest.mark.parametrize(("bad", "message"), [
    ("bad_input", "training: 1 of 16 .*NaN"),
    ("bad_label", r"training: 1 .*0 to 9,.* 0 to 2\b"),
])  # fmt: skip
def test_bad_samples_far_into_the_data_are_the_datas_fault(tmp_path: Path, bad: str, message: str) -> None:
    samples = data.as_data({"train": _Samples(**{bad: True}), "validation": _Samples()})
    with pytest.raises(DataError, match=message):
        # Shuffled, and the last small batch is left out: some epoch reads sample 33.
        finetune(_model(), samples, _settings(epochs=5), folder=tmp_path)


def test_an_empty_training_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train split"):
        finetune(_model(), Data(train=_split(0, 0), validation=_split(5, 1)), _settings(), folder=tmp_path)


def test_a_users_data_set_with_random_transforms_trains_the_same_twice(tmp_path: Path) -> None:
    states = []
    for name in ("one", "two"):
        model = _model()
        samples = data.as_data({"train": _Samples(), "validation": _Samples()})
        finetune(model, samples, _settings(), folder=tmp_path / name)
        states.append(model.state_dict()["0.weight"])
    assert torch.equal(*states)


def test_images_in_channels_last_order_end_contiguous(tmp_path: Path) -> None:
    labels = torch.arange(32) % _CLASSES
    images = torch.rand(32, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    split = TensorSplit(images, labels, augment=Augment(crop_padding=1, flip=True))
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(64, _CLASSES))
    history = finetune(model, Data(train=split, validation=split), _settings(channels_last=True), folder=tmp_path)
    assert history.execution is not None
    assert history.execution.channels_last
    assert model[0].weight.is_contiguous()
    assert torch.are_deterministic_algorithms_enabled() is False


def test_history_contains_only_plain_data(tmp_path: Path) -> None:
    history = finetune(_model(), _data(), _settings(epochs=1, keep="last"), folder=tmp_path)
    plain = asdict(history)
    assert plain["best_epoch"] == 1
    assert plain["epochs"][0]["number"] == 1
    assert plain["execution"]["precision"] == "float32"
