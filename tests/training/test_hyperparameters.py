"""Automatic batch size, epochs and learning rate; the network that training ends with; advice on more epochs."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgeprune.config import TrainingSettings
from edgeprune.errors import ModelError
from edgeprune.model.data import Data, TensorSplit
from edgeprune.training import Epoch, History, Hook, Phase, Trainer, evaluate, finetune
from edgeprune.training.hyperparameters import batch_size, epochs, optimizer, range_test
from tests.training import small


@pytest.mark.parametrize(
    ("samples", "size", "passes"),
    [(1, 16, 40), (200, 16, 40), (1083, 16, 30), (3600, 32, 18), (7000, 64, 19), (50_000, 128, 6), (1_281_167, 128, 5)],
)
def test_batch_size_and_epochs_follow_from_the_samples(samples: int, size: int, passes: int) -> None:
    settings = TrainingSettings()
    assert (batch_size(settings, samples), epochs(settings, samples)) == (size, passes)


def test_explicit_values_stay(tmp_path: Path) -> None:
    settings = TrainingSettings(batch_size=7, epochs=3)
    assert (batch_size(settings, 50_000), epochs(settings, 50_000)) == (7, 3)
    result = finetune(small.model(), small.data(), small.settings(), folder=tmp_path).hyperparameters
    assert result is not None
    assert (result.optimizer, result.batch_size, result.epochs, result.lr) == ("sgd", 16, 3, 0.1)
    assert (result.automatic, result.distilled) == ((), False)


@pytest.mark.parametrize(
    ("inputs", "chosen"),
    [({}, "adamw"), ({"lr": 0.1}, "sgd"), ({"optimizer": "sgd"}, "sgd"), ({"optimizer": "adamw", "lr": 0.1}, "adamw")],
)
def test_explicit_rate_selects_sgd(inputs: dict[str, Any], chosen: str) -> None:
    assert optimizer(TrainingSettings(**inputs)) == chosen


class _Parabola(nn.Module):
    """A loss of curvature ``curvature`` in each of two directions, which plain descent leaves at a rate of 2 / it."""

    def __init__(self, curvature: float) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.tensor([1.0, -2.0]))
        self.curvature = curvature

    def forward(self, _inputs: Tensor) -> Tensor:
        return 0.5 * self.curvature * self.place.square().sum()


def _rate(model: nn.Module, batches: Sequence[Any] = ((torch.zeros(1), None),), **changes: Any) -> float:
    return range_test(
        model,
        batches,
        lambda network, inputs, _labels: network(inputs),
        lambda network: torch.optim.SGD(network.parameters(), lr=0.0),
        settings=TrainingSettings(momentum=0.0, **changes),
    )


def test_the_rate_is_below_the_largest_that_converges_and_follows_the_curvature() -> None:
    steep, flat = _rate(_Parabola(400.0)), _rate(_Parabola(40.0))
    assert 0.1 * 2 / 400 < steep <= 1.2 * 2 / 400
    assert flat == pytest.approx(10 * steep, rel=0.2)


def test_a_range_test_leaves_the_network_and_repeats_itself() -> None:
    model = small.model().train()
    before = copy.deepcopy(model.state_dict())
    labels = torch.arange(3)

    def once() -> float:
        return range_test(
            model,
            [(torch.eye(4)[labels], labels)],
            lambda network, inputs, labels: nn.functional.cross_entropy(network(inputs), labels),
            lambda network: torch.optim.SGD(network.parameters(), lr=0.0),
            settings=TrainingSettings(),
        )

    assert once() == once()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_network_at_its_minimum_gets_a_fraction_of_the_rate_that_diverges() -> None:
    class Noisy(_Parabola):
        def forward(self, inputs: Tensor) -> Tensor:
            return 0.5 * self.curvature * (self.place - inputs).square().sum()

    model = Noisy(40.0)
    nn.init.zeros_(model.place)  # between what the two batches pull to
    batches = [(torch.ones(1), None), (-torch.ones(1), None)]
    assert 0.1 * 2 / 40 <= _rate(model, batches) <= 2 / 40


def test_a_loss_that_is_not_finite_from_the_start_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"training\.lr"):
        _rate(_Parabola(float("nan")))


@pytest.mark.long
def test_automatic_hyperparameters_are_reported_and_learn(tmp_path: Path) -> None:
    model = small.model()
    before = evaluate(model, small.data().validation).accuracy
    history = finetune(
        model,
        small.data(),
        small.settings(optimizer="auto", epochs="auto", batch_size="auto", lr="auto"),
        folder=tmp_path,
    )
    result = history.hyperparameters
    assert result is not None
    assert result.automatic == ("optimizer", "batch_size", "epochs", "lr")
    assert (result.optimizer, result.batch_size, result.epochs) == ("adamw", 16, 40)
    assert 1e-4 < result.lr <= 0.1
    assert history.start_accuracy == before
    assert evaluate(model, small.data().validation).accuracy > max(before, 0.9)


def _misleading() -> Data:
    """Labels of the train split are those of another class."""
    right = small.data()
    images = torch.cat([inputs for inputs, _ in right.train.batches(64)])
    return Data(train=TensorSplit(images, (right.train.labels + 1) % small.CLASSES), validation=right.validation)


def _trained(folder: Path) -> nn.Module:
    model = small.model()
    finetune(model, small.data(), small.settings(), folder=folder)
    return model


@pytest.mark.parametrize("keep", ["best", "last"])
def test_training_that_only_harms_ends_with_the_network_it_began_with(tmp_path: Path, keep: str) -> None:
    model = _trained(tmp_path / "first")
    before = copy.deepcopy(model.state_dict())
    history = finetune(model, _misleading(), small.settings(keep=keep), folder=tmp_path / "second")
    remaining = all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert remaining == history.kept_start == (keep == "best")
    if keep == "best":
        assert history.best_epoch == 0
        assert history.start_accuracy == evaluate(model, small.data().validation).accuracy
        assert history.start_accuracy > max(epoch.validation_accuracy for epoch in history.epochs)


def test_only_the_network_before_the_last_phase_is_a_candidate(tmp_path: Path) -> None:
    model = _trained(tmp_path / "first")
    trainer = Trainer(model, _misleading(), small.settings(), folder=tmp_path / "second")
    trainer.train(Phase(fraction=0.5))
    between = copy.deepcopy(model.state_dict())
    trainer.train(Phase(fraction=0.5))
    assert trainer.finish().kept_start
    assert all(torch.equal(tensor, between[name]) for name, tensor in model.state_dict().items())


def test_a_network_that_a_hook_is_about_to_change_is_no_candidate(tmp_path: Path) -> None:
    trainer = Trainer(_trained(tmp_path / "first"), _misleading(), small.settings(), folder=tmp_path / "second")
    trainer.train(Phase(fraction=1.0, hook=Hook()))
    history = trainer.finish()
    assert (history.start_accuracy, history.kept_start) == (None, False)
    assert history.best_epoch > 0


@pytest.mark.parametrize(
    ("accuracies", "rising"),
    [
        ([0.5, 0.52, 0.54, 0.56, 0.58, 0.6, 0.62, 0.64], True),
        ([0.93, 0.935, 0.928, 0.932, 0.934, 0.931, 0.936, 0.935], False),
        ([0.8, 0.9, 0.93, 0.931, 0.932, 0.932, 0.932, 0.933], False),
        ([0.9, 0.8, 0.7, 0.6], False),
        ([0.5, 0.6, 0.7], None),
        ([-4.0, -3.0, -2.0, -1.0, -0.5, -0.4, -0.3, -0.1], True),
    ],
)
def test_more_epochs_are_advised_only_while_accuracy_rises(accuracies: list[float], *, rising: bool | None) -> None:
    entries = [
        Epoch(number=number, train_loss=1.0, validation_loss=1.0, validation_accuracy=accuracy, lr=0.1, seconds=0.0)
        for number, accuracy in enumerate(accuracies, start=1)
    ]
    assert History(epochs=tuple(entries)).still_rising is rising
