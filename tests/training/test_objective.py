"""Losses, steps and metrics of one's own, inputs and labels of any structure; what is wrong with them shows at once."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from edgeprune.config import DistillationSettings
from edgeprune.errors import DataError, EdgePruneError, ModelError, RecipeError
from edgeprune.model.data import Data, DatasetSplit, TensorSplit
from edgeprune.training import Evaluator, Phase, Teacher, Trainer, evaluate, finetune
from edgeprune.training.objective import Objective
from edgeprune.training.precision_and_layout import DEFAULT_EXECUTION
from tests.training import small

_CODE = """
import torch
from torch import nn
from torch.nn import functional

class Weighted(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, outputs, labels):
        return functional.cross_entropy(outputs, labels, self.weight)

weighted = Weighted()

class NeedsArguments(nn.Module):
    def __init__(self, size):
        super().__init__()

number = 3

def step(model, inputs, labels):
    return {"first": functional.cross_entropy(model(inputs), labels), "second": 0.01 * model(inputs).square().mean()}

def nothing(model, inputs, labels):
    model(inputs)

def detached(model, inputs, labels):
    return model(inputs).mean().detach()

def vector(outputs, labels):
    return outputs.mean(1)

def raises(*_):
    return {}["boxes"]

def nan_metric(model, split):
    return float("nan")

def text_metric(model, split):
    return "good"

def recall(model, split):
    inputs, labels = next(split.batches(len(split)))
    assert not model.training and not torch.is_grad_enabled()
    return (model(inputs).argmax(1) == labels).float()[labels == 0].mean()

def later(model, split, calls=[]):
    calls.append(1)
    return float("nan") if len(calls) == 3 else len(calls)
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(_CODE)
    return tmp_path


def _train(folder: Path, model: nn.Module | None = None, data: Data | None = None, **changes: Any) -> Any:
    trained = model or small.model()
    return finetune(trained, data or small.data(), small.settings(**changes), folder=folder / "run", base=folder)


@pytest.mark.parametrize("changes", [
    {"loss": "mine.py:Weighted"}, {"loss": "mine.py:weighted"}, {"loss": "torch.nn:CrossEntropyLoss"},
    {"loss": "torch.nn.functional:cross_entropy"}, {"step": "mine.py:step"}, {"metric": "mine.py:recall"},
    {"step": "mine.py:step", "metric": "mine.py:recall"}, {"loss": "mine.py:Weighted", "precision": "bfloat16"},
])  # fmt: skip
def test_own_objective_trains(mine: Path, changes: dict[str, Any]) -> None:
    model = small.model()
    history = _train(mine, model, epochs=6, **changes)
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss
    accuracy = evaluate(model, small.data().validation).accuracy
    assert accuracy > 0.5 > evaluate(small.model(), small.data().validation).accuracy


def test_own_validation_loss_selects_the_best_epoch(mine: Path) -> None:
    history = _train(mine, loss="mine.py:Weighted")
    assert [epoch.validation_accuracy for epoch in history.epochs] == [
        -epoch.validation_loss for epoch in history.epochs
    ]
    labels, outputs = small.split(60, 1).labels, small.model()(small.split(60, 1).images)
    judged = Evaluator(small.split(60, 1), small.settings(loss="mine.py:Weighted", batch_size=64), base=mine)(
        small.model()
    )
    want = functional.cross_entropy(outputs.detach(), labels, torch.tensor([1.0, 2.0, 3.0]))
    assert judged.loss == pytest.approx(float(want))
    assert judged.samples == 60


def test_own_metric_selects_the_best_epoch(mine: Path) -> None:
    model = small.model()
    history = _train(mine, model, metric="mine.py:recall", epochs=4)
    inputs, labels = next(small.split(60, 1).batches(60))
    own = float((model(inputs).argmax(1) == labels).float()[labels == 0].mean())
    assert history.start_accuracy is not None
    assert own == max(history.start_accuracy, *(epoch.validation_accuracy for epoch in history.epochs))


def test_evaluation_restores_the_mode_of_every_module(mine: Path) -> None:
    model = small.model().train()
    model[1].eval()
    for changes in ({}, {"metric": "mine.py:recall"}):
        Evaluator(small.split(20, 1), small.settings(**changes), base=mine)(model)
        assert [module.training for module in model] == [True, False, True, True]


@pytest.mark.parametrize(("changes", "error", "message"), [
    ({"step": "mine.py:nothing"}, ModelError, r"training\.step .*got NoneType"),
    ({"step": "mine.py:detached", "metric": "mine.py:recall"}, ModelError, r"training\.step .*gradient"),
    ({"step": "mine.py:raises"}, ModelError, r"training\.step fails: KeyError: 'boxes' \(.*mine\.py, line 35\)"),
    ({"loss": "mine.py:vector"}, ModelError, r"training\.loss .*\(16,\)"),
    ({"loss": "mine.py:raises"}, ModelError, r"training\.loss fails: KeyError"),
    ({"metric": "mine.py:raises"}, ModelError, r"training\.metric fails: KeyError"),
    ({"metric": "mine.py:text_metric"}, ModelError, r"training\.metric fails: ValueError"),
    ({"metric": "mine.py:nan_metric"}, ModelError, r"before training: training\.metric: got nan"),
    ({"loss": "mine.py:NeedsArguments"}, RecipeError, r"NeedsArguments "),
    ({"loss": "mine.py:number"}, RecipeError, r"training\.loss: mine\.py:number .*got int"),
    ({"loss": "mine.py:absent"}, RecipeError, r"mine\.py .*'absent'"),
    ({"loss": "mine.py:vector", "step": "mine.py:step"}, RecipeError, r"training\.loss: .*training\.step"),
])  # fmt: skip
def test_invalid_objective_fails_before_the_first_epoch(
    mine: Path, changes: dict[str, Any], error: type[EdgePruneError], message: str
) -> None:
    with pytest.raises(error, match=message):
        _train(mine, **changes)
    assert not (mine / "run" / "last.safetensors").exists()


def test_nan_metric_rolls_back_the_epoch(mine: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    history = _train(mine, metric="mine.py:later")
    assert history.rollbacks == 1
    assert "after epoch 2: training.metric: got nan" in caplog.text


def test_own_step_refuses_explicit_distillation(mine: Path) -> None:
    requested = small.settings(step="mine.py:step", distillation=DistillationSettings(weight=0.5))
    assert Teacher.is_enabled(requested)
    teacher = Teacher(small.model(), requested.distillation)
    with pytest.raises(RecipeError, match=r"training\.step: .*training\.distillation\.weight = 0"):
        Trainer(small.model(), small.data(), requested, folder=mine / "run", teacher=teacher, base=mine)
    for changes in ({"step": "mine.py:step"}, {"loss": "mine.py:vector"}):
        assert not Teacher.is_enabled(small.settings(**changes, distillation=DistillationSettings()))
    assert Teacher.is_enabled(small.settings(distillation=DistillationSettings()))


def test_own_loss_is_combined_with_distillation(mine: Path) -> None:
    settings = small.settings(loss="mine.py:Weighted", distillation=DistillationSettings(weight=1.0), epochs=6)
    assert Teacher.is_enabled(settings)
    model, dense = small.model(), small.model(seed=1)
    nn.init.eye_(dense[3].weight)
    teacher = Teacher(dense, settings.distillation)
    finetune(model, small.data(), settings, folder=mine / "run", teacher=teacher, base=mine)
    inputs, _ = next(small.split(60, 1).batches(60))
    answers = [network(inputs).argmax(1) for network in (small.model(), model, dense)]
    agreed = [float((answer == answers[2]).float().mean()) for answer in answers[:2]]
    assert agreed[1] > 0.8 > 0.6 > agreed[0]


class _Named(nn.Module):
    """Inputs by name or place; answers as asked for."""

    def __init__(self, answer: str = "tensor") -> None:
        super().__init__()
        self.net, self.answer = small.model(), answer

    def forward(self, points: Tensor, scale: Tensor, ids: Tensor | None = None) -> Any:
        assert points.shape[0] == scale.shape[0]
        outputs = self.net(points * scale)
        return outputs if self.answer == "tensor" else {"logits": outputs, "hidden": [points]}


class _Records(Dataset[dict[str, Any]]):
    def __init__(self, count: int, seed: int) -> None:
        self.split = small.split(count, seed)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"points": self.split.images[index], "scale": torch.ones(1), "label": self.split.labels[index]}


def _as_dicts(samples: list[dict[str, Any]]) -> Any:
    columns = {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}
    labels = columns.pop("label")
    return {**columns, "ids": torch.zeros(len(labels), dtype=torch.int64)}, labels


def _as_tuples(samples: list[dict[str, Any]]) -> Any:
    inputs, labels = _as_dicts(samples)
    return (inputs["points"], inputs["scale"]), labels


def _with_targets(samples: list[dict[str, Any]]) -> Any:
    inputs, labels = _as_dicts(samples)
    boxes = [{"class": label, "box": torch.zeros(int(label), 4)} for label in labels]
    return inputs, {"classes": labels, "objects": boxes}


def _records(collate: Any) -> Data:
    train, validation = (DatasetSplit(_Records(*shape), collate=collate) for shape in ((64, 0), (60, 1)))
    return Data(train=train, validation=validation)


@pytest.mark.parametrize("collate", [_as_dicts, _as_tuples])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_inputs_may_be_a_dict_or_a_tuple(tmp_path: Path, collate: Any, precision: str) -> None:
    model, data = _Named(), _records(collate)
    dense = _Named()
    settings = small.settings(epochs=6, precision=precision, distillation=DistillationSettings(weight=0.1))
    teacher = Teacher(dense, settings.distillation)
    finetune(model, data, settings, folder=tmp_path, teacher=teacher)
    assert evaluate(model, data.validation).accuracy > 0.8


_TARGETS = """
from torch.nn import functional

def loss(outputs, targets):
    assert all(set(one) == {"class", "box"} for one in targets["objects"])
    return functional.cross_entropy(outputs["logits"], targets["classes"])

def step(model, inputs, targets):
    if not model.training:
        return [{"boxes": 1}]  # as a detector does
    return {"classes": loss(model(**inputs), targets)}

def metric(model, split):
    right = [model(**inputs)["logits"].argmax(1) == targets["classes"] for inputs, targets in split.batches(16)]
    return float(sum(one.sum() for one in right) / len(split))
"""


@pytest.mark.parametrize("changes", [
    {"loss": "mine.py:loss"}, {"loss": "mine.py:loss", "metric": "mine.py:metric"},
    {"step": "mine.py:step", "metric": "mine.py:metric"},
])  # fmt: skip
def test_labels_may_have_any_structure_and_detectors_no_loss_in_eval_mode(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    (tmp_path / "mine.py").write_text(_TARGETS)
    model, data = _Named("dict"), _records(_with_targets)
    history = _train(tmp_path, model, data, epochs=6, **changes)
    assert history.epochs[-1].train_loss < history.epochs[0].train_loss
    assert history.epochs[-1].validation_accuracy > history.epochs[0].validation_accuracy


def test_a_step_without_a_loss_in_eval_mode_needs_a_metric(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(_TARGETS)
    with pytest.raises(ModelError, match=r"training\.step .*got list"):
        _train(tmp_path, _Named("dict"), _records(_with_targets), step="mine.py:step")


def test_cross_entropy_needs_logits_and_class_labels(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"\(N, classes\).* dict: .*training\.loss"):
        _train(tmp_path / "one", _Named("dict"), _records(_as_dicts))
    with pytest.raises(DataError, match=r"evaluation: .*got dict"):
        _train(tmp_path / "two", _Named(), _records(_with_targets))


def test_inputs_by_name_that_are_not_finite_are_named(tmp_path: Path) -> None:
    data = _records(_as_dicts)
    data.train._dataset.split.images[5] = torch.nan
    with pytest.raises(DataError, match=r"training: 1 of 64 .*NaN"):
        _train(tmp_path, _Named(), data, batch_size=64)


def test_a_step_sees_the_network_as_it_is_and_in_training_mode(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def step(model, inputs, labels):\n    return (model[3](model[0](inputs)) * model.training).square().mean()\n"
        "def metric(model, split):\n    return 1.0\n"
    )
    trainer = Trainer(
        small.model(), small.data(), small.settings(step="mine.py:step", metric="mine.py:metric"),
        folder=tmp_path / "run", base=tmp_path,
    )  # fmt: skip
    trainer.train(Phase(fraction=1.0))
    assert all(epoch.train_loss > 0 for epoch in trainer.finish().epochs)


def test_outputs_with_positions_take_labels_with_positions_of_which_some_are_ignored(tmp_path: Path) -> None:
    maps, labels = torch.randn(64, 4, 3, 5), torch.randint(3, (64, 3, 5))
    labels[:32] = labels[:, 0] = -100
    objective = Objective(small.settings())
    model = nn.Conv2d(4, 3, 1)
    with torch.no_grad():
        expected = pytest.approx(float(functional.cross_entropy(model(maps), labels)))
        assert float(objective(model, maps, labels, DEFAULT_EXECUTION)) == expected
        assert float(objective.of_outputs(model(maps), labels)) == expected
        # A batch without a label that counts has nothing to teach; torch's mean over no labels would be NaN.
        assert float(objective(model, maps[:32], labels[:32], DEFAULT_EXECUTION)) == 0
        assert float(objective.of_outputs(model(maps[:32]), labels[:32])) == 0
    splits = Data(train=TensorSplit(maps, labels), validation=TensorSplit(maps, labels))
    history = _train(tmp_path, nn.Sequential(model, nn.BatchNorm2d(3)), splits, batch_size=16, epochs=2)
    assert all(math.isfinite(epoch.train_loss) for epoch in history.epochs)
    with pytest.raises(DataError, match=r"training: .*\(64, 3, 5\).*\(64, 5, 3\)"):
        objective(model, maps, labels.mT, DEFAULT_EXECUTION)
