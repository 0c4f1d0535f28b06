"""Phases, hooks, averages, and what is refused before any epoch is spent."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgeprune.config import DistillationSettings
from edgeprune.errors import DataError, ModelError, TrainingError
from edgeprune.model import weights
from edgeprune.model.data import Data, TensorSplit
from edgeprune.training import Hook, Phase, Teacher, Trainer, evaluate, finetune
from edgeprune.training.step_plan import learning_rate
from tests.training import small

_STEPS = 12  # of small.settings()


def _trainer(folder: Path, model: nn.Module | None = None, **changes: Any) -> Trainer:
    return Trainer(model or small.model(), small.data(), small.settings(**changes), folder=folder)


class _Notes(Hook):
    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.calls: list[Any] = []
        self.rates: list[float] = []
        self.weights: list[Tensor] = []

    def begin(self, steps: int) -> None:
        self.calls.append(("begin", steps))

    def before_update(self, step: int) -> None:
        self.calls.append(("before", step))
        self.rates.append(self.trainer.network.optimizer.param_groups[0]["lr"])
        self.weights.append(self.trainer.network.model[0].weight.detach().clone())
        assert all(parameter.grad is not None for parameter in self.trainer.network.model.parameters())

    def after_update(self, step: int) -> None:
        self.calls.append(("after", step))
        assert not torch.equal(self.trainer.network.model[0].weight, self.weights[-1])

    def end(self) -> None:
        self.calls.append("end")


def test_hook_is_called_at_every_update_in_order(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path)
    hook = _Notes(trainer)
    trainer.train(Phase(fraction=1.0, hook=hook))
    updates = [(moment, step) for step in range(_STEPS) for moment in ("before", "after")]
    assert hook.calls == [("begin", _STEPS), *updates, "end"]


def test_last_change_of_a_hook_is_in_the_next_phase(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path)

    class Zero(Hook):
        def end(self) -> None:
            nn.init.zeros_(trainer.network.model[3].bias)

    trainer.train(Phase(fraction=0.5, hook=Zero()))
    assert torch.equal(trainer.network.model[3].bias, torch.zeros(3))


def test_phase_follows_its_part_of_the_rate_curve(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, warmup_epochs=0.5)
    hooks = [_Notes(trainer), _Notes(trainer)]
    trainer.train(Phase(fraction=0.75, hook=hooks[0]))
    trainer.train(Phase(fraction=0.25, rate=(0.5, 1.0), hook=hooks[1]))
    curve = partial(learning_rate, 0.1, steps=_STEPS, warmup=2)
    assert hooks[0].rates == pytest.approx([curve(step * _STEPS / 9) for step in range(9)])
    assert hooks[1].rates == pytest.approx([curve(6 + 2 * step) for step in range(3)])


def test_optimizer_state_is_reset_only_if_a_phase_asks(tmp_path: Path) -> None:
    for forget in (False, True):
        trainer = _trainer(tmp_path / str(forget))
        trainer.train(Phase(fraction=0.5))

        class Look(Hook):
            states = 0

            def before_update(self, step: int, trainer: Trainer = trainer) -> None:
                self.states += len(trainer.network.optimizer.state) if step == 0 else 0

        hook = Look()
        trainer.train(Phase(fraction=0.5, hook=hook, reset_optimizer=forget))
        assert (hook.states == 0) == forget


def test_best_epoch_is_of_the_last_phase(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path)
    for share in (0.5, 0.25, 0.25):  # six steps, three and three, where four are an epoch
        trainer.train(Phase(fraction=share))
    history = trainer.finish()
    assert [(epoch.number, epoch.phase) for epoch in history.epochs] == [(1, 1), (2, 1), (2, 2), (3, 2), (3, 3)]
    assert history.best_epoch == 5


def test_phases_shorter_than_a_step_take_one_step(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, epochs=1)
    hooks = [_Notes(trainer) for _ in range(8)]
    for hook in hooks:
        trainer.train(Phase(fraction=0.125, hook=hook))
    assert [hook.calls[0] for hook in hooks] == [("begin", 1)] * 8
    assert [epoch.number for epoch in trainer.finish().epochs] == [1] * 4 + [2] * 4


def test_weight_average_follows_the_formula_and_is_kept(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, ema=0.5, keep="last")
    average = small.model()[0].weight.detach().clone()

    class Follow(Hook):
        def after_update(self, step: int) -> None:
            decay = min(0.5, (2 + step) / (11 + step))
            average.mul_(decay).add_((1 - decay) * trainer.network.model[0].weight.detach())

    trainer.train(Phase(fraction=1.0, hook=Follow()))
    trained = {name: tensor.clone() for name, tensor in trainer.network.model.state_dict().items()}
    trainer.finish()
    torch.testing.assert_close(trainer.network.model[0].weight.detach(), average)
    assert not torch.equal(trained["0.weight"], average)
    assert torch.equal(trainer.network.model[1].running_mean, trained["1.running_mean"]), "statistics are the latest"


@pytest.mark.parametrize("keep", ["best", "last"])
def test_best_and_last_weights_are_both_saved(tmp_path: Path, keep: str) -> None:
    trainer = _trainer(tmp_path, keep=keep)

    class Spoils(Hook):
        def after_update(self, step: int) -> None:
            if step == _STEPS - 1:
                nn.init.zeros_(trainer.network.model[3].weight)

    trainer.train(Phase(fraction=1.0, hook=Spoils()))
    history = trainer.finish()
    best, last = (weights.read(tmp_path / f"{name}.safetensors")["3.weight"] for name in ("best", "last"))
    assert history.best_epoch < 3
    assert float(best.abs().max()) > 0
    assert torch.equal(last, torch.zeros(3, 8))
    assert torch.equal(trainer.network.model[3].weight, best if keep == "best" else last)
    accuracy = evaluate(trainer.network.model, small.data().validation).accuracy
    assert accuracy == history.epochs[history.best_epoch - 1 if keep == "best" else 2].validation_accuracy


def test_frozen_statistics_stay_and_their_layers_learn(tmp_path: Path) -> None:
    model = small.model()
    finetune(model, small.data(), small.settings(batchnorm="freeze"), folder=tmp_path)
    assert torch.equal(model[1].running_mean, torch.zeros(8))
    assert int(model[1].num_batches_tracked) == 0
    assert not torch.equal(model[1].weight, torch.ones(8))


def test_buffers_that_are_infinite_on_purpose_do_no_harm(tmp_path: Path) -> None:
    histories = []
    for _ in range(2):  # the second resumes
        model = small.model()
        model.register_buffer("mask", torch.full((2,), -math.inf))
        histories.append(finetune(model, small.data(), small.settings(epochs=1), folder=tmp_path))
    assert histories[0] == histories[1]


def test_no_gradients_are_left_and_no_generator_has_moved(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    trainer = _trainer(tmp_path)
    trainer.train(Phase(fraction=1.0))
    assert all(parameter.grad is None for parameter in trainer.network.model.parameters())
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("role", ["train", "validation"])
def test_an_empty_split_is_named_before_any_epoch(tmp_path: Path, role: str) -> None:
    splits = {"train": small.split(20, 0), "validation": small.split(20, 1), role: small.split(0, 0)}
    with pytest.raises(DataError, match=f"{role} split"):
        Trainer(small.model(), Data(**splits), small.settings(), folder=tmp_path)


def test_a_network_with_weights_that_are_not_finite_is_refused(tmp_path: Path) -> None:
    model = small.model()
    nn.init.constant_(model[1].running_var, math.inf)
    with pytest.raises(ModelError, match=r"weights .*finite"):
        finetune(model, small.data(), small.settings(), folder=tmp_path)


class _Short:
    """A split with fewer batches than its length says."""

    def __len__(self) -> int:
        return 64

    def batches(self, size: int, *, start: int = 0, **_: Any) -> Iterator[tuple[Tensor, Tensor]]:
        yield from list(small.split(48, 0).batches(size))[start:]


def test_split_with_too_few_batches_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train split .* 3 batches of 16 in epoch 1, .* 4 .* 64 "):
        finetune(small.model(), Data(train=_Short(), validation=small.split(9, 1)), small.settings(), folder=tmp_path)


def test_labels_out_of_range_are_named_in_the_first_step(tmp_path: Path) -> None:
    bad = TensorSplit(torch.zeros(16, 4), torch.full((16,), 3))
    with pytest.raises(DataError, match=r"training: 16 .*3 to 3,.* 0 to 2\b"):
        finetune(small.model(), Data(train=bad, validation=small.split(9, 1)), small.settings(), folder=tmp_path)


def test_another_schedule_is_refused(tmp_path: Path) -> None:
    _trainer(tmp_path).train(Phase(fraction=0.5))
    with pytest.raises(TrainingError, match=rf"{tmp_path} .*phase 1 .*0 to 6,.* 0 to 12\b"):
        _trainer(tmp_path).train(Phase(fraction=1.0))


def test_phase_of_another_network_is_refused(tmp_path: Path) -> None:
    for width in (7, 6):
        trainer = _trainer(tmp_path)
        trainer.train(Phase(fraction=0.5))
        trainer.network.model = small.model(width=width)
        if width == 7:
            trainer.train(Phase(fraction=0.5, reset_optimizer=True))
        else:
            with pytest.raises(TrainingError, match=rf"{tmp_path} .*phase 2 .*shapes"):
                trainer.train(Phase(fraction=0.5, reset_optimizer=True))


class _BreaksOnce(nn.Module):
    """Gives NaN in training step ``step``, once; or loses its weights to infinity there."""

    def __init__(self, step: int, *, weights: bool = False) -> None:
        super().__init__()
        self.net = small.model()
        self.step, self.weights = step, weights
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        self.seen += self.training
        broken = self.training and self.seen == self.step
        if broken and self.weights:
            nn.init.constant_(self.net[1].running_mean, math.inf)  # training does not look at it
        return self.net(x) * (math.nan if broken and not self.weights else 1.0)


@pytest.mark.parametrize(("weights", "message"), [
    (False, "the loss became nan in epoch 2, step 3 of 4, at learning rate"),
    (True, "weights are not finite after epoch 2.00"),
])  # fmt: skip
def test_divergence_rolls_back_an_epoch_and_halves_the_rate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, weights: bool, message: str
) -> None:
    caplog.set_level(logging.WARNING)
    trainer = _trainer(tmp_path, _BreaksOnce(7, weights=weights))
    rates: dict[int, float] = {}

    class Rates(Hook):
        begun = 0

        def begin(self, steps: int) -> None:
            self.begun += 1
            assert all(bool(torch.isfinite(tensor).all()) for tensor in trainer.network.model.state_dict().values())

        def before_update(self, step: int) -> None:
            rates[step] = trainer.network.optimizer.param_groups[0]["lr"]

    hook = Rates()
    trainer.train(Phase(fraction=1.0, hook=hook))
    history = trainer.finish()
    assert history.rollbacks == 1
    assert hook.begun == 2
    assert [epoch.number for epoch in history.epochs] == [1, 2, 3]
    assert f"{message}" in caplog.text
    assert re.search(r"step 4 with 0\.5 .*1 of 3\)", caplog.text)
    curve = partial(learning_rate, 0.1, steps=_STEPS, warmup=0)
    assert rates == {step: curve(step) * (0.5 if step >= 4 else 1) for step in range(_STEPS)}
    assert history.epochs[2].train_loss < history.epochs[1].train_loss < history.epochs[0].train_loss


def test_lowered_rate_applies_to_later_phases(tmp_path: Path) -> None:
    trainer = _trainer(tmp_path, _BreaksOnce(3))
    trainer.train(Phase(fraction=0.5))

    class First(Hook):
        rate = 0.0

        def before_update(self, step: int) -> None:
            self.rate = self.rate or trainer.network.optimizer.param_groups[0]["lr"]

    hook = First()
    trainer.train(Phase(fraction=0.5, hook=hook))
    assert hook.rate == pytest.approx(0.05)


def test_interrupted_training_leaves_no_hooks(tmp_path: Path) -> None:
    model, settings = small.model(), small.settings(distillation=DistillationSettings(features=1.0))
    teacher = Teacher(small.model(1), settings.distillation, layers={"1": None})
    trainer = Trainer(model, small.data(), settings, folder=tmp_path, teacher=teacher)

    class Stops(Hook):
        def after_update(self, step: int) -> None:
            assert model[1]._forward_hooks, "the teacher listens"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.train(Phase(fraction=1.0, hook=Stops()))
    assert not model[1]._forward_hooks
    assert not torch.are_deterministic_algorithms_enabled()
