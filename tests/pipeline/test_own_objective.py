"""A network that is no classifier goes through the whole build: own loss or step, own metric, targets in a dict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

import edgeprune
from edgeprune.bundle.bundle_reader import read
from edgeprune.bundle.report_data import ReportData
from edgeprune.config import Recipe
from edgeprune.errors import DataError, EdgePruneError, ModelError, RecipeError
from edgeprune.report.build_table import rows

pytestmark = pytest.mark.long

_CODE = """
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset

from edgeprune.model.data import Data, DatasetSplit

class Segments(nn.Module):
    '''Says which pixels belong to a bright rectangle, and how many they are.'''

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        )
        self.mask = nn.Conv2d(16, 2, 1)
        self.area = nn.Linear(16, 1)

    def forward(self, x):
        found = self.body(x)
        return {"mask": self.mask(found), "sizes": [self.area(found.mean((2, 3)))]}

class Rectangles(Dataset):
    def __init__(self, count, seed):
        rng = torch.Generator().manual_seed(seed)
        self.masks = torch.zeros(count, 12, 12, dtype=torch.long)
        for mask in self.masks:
            top, left, height, width = torch.randint(3, 7, (4,), generator=rng).tolist()
            mask[top : top + height, left : left + width] = 1
        self.images = self.masks[:, None] + 0.2 * torch.randn(count, 1, 12, 12, generator=rng)

    def __len__(self):
        return len(self.masks)

    def __getitem__(self, index):
        return self.images[index], {"mask": self.masks[index], "name": f"sample {index}"}

def collate(samples):
    images, targets = zip(*samples)
    masks = torch.stack([target["mask"] for target in targets])
    return torch.stack(images), {"mask": masks, "names": [target["name"] for target in targets]}

def data():
    sizes = {"train": (64, 0), "validation": (24, 1), "test": (24, 2)}
    return Data(**{role: DatasetSplit(Rectangles(*size), collate=collate) for role, size in sizes.items()})

def plain_data():
    return {role: Rectangles(8, 0) for role in ("train", "validation")}

def loss(outputs, targets):
    (area,) = outputs["sizes"]
    share = targets["mask"].float().mean((1, 2))
    return functional.cross_entropy(outputs["mask"], targets["mask"]) + functional.mse_loss(area[:, 0], share)

def step(model, inputs, targets):
    outputs = {"mask": model.mask(model.body(inputs))}
    return {"mask": functional.cross_entropy(outputs["mask"], targets["mask"])}

def no_loss(model, inputs, targets):
    model(inputs)

def mean_iou(model, split):
    both = either = 0
    for images, targets in split.batches(7):
        said, true = model(images)["mask"].argmax(1) == 1, targets["mask"] == 1
        both, either = both + int((said & true).sum()), either + int((said | true).sum())
    return both / either

def of_parts(model, split):
    return float(model.body.weight.sum())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(_CODE)
    (tmp_path / "board.toml").write_text("name = 'board'\nprofile = {warmup = 1, runs = 4, blocks = 2}\n")
    return tmp_path


def _recipe(folder: Path, *, data: str = "net.py:data", criterion: str = "auto", **training: Any) -> Recipe:
    values = {
        "name": "segments", "model": {"factory": "net.py:Segments", "input": [1, 1, 12, 12]},
        "data": {"function": data}, "budget": {"macs": 0.5},
        "prune": {"criterion": criterion, "selection": "global", "align": 1},
        "training": {
            "epochs": 6, "batch_size": 16, "optimizer": "adamw", "lr": 0.03, "precision": "float32",
            "channels_last": False, **training,
        },
    }  # fmt: skip
    return Recipe.parse(values, folder=folder, where="the test")


def _build(folder: Path, recipe: Recipe) -> edgeprune.BuildResult:
    return edgeprune.build(recipe, folder / "board.toml", output=folder / "dist", cache=folder / "cache")


def test_segmentation_network_is_built_with_own_loss_and_metric(folder: Path) -> None:
    built = _build(folder, _recipe(folder, criterion="taylor", loss="net.py:loss", metric="net.py:mean_iou"))
    manifest = json.loads((built.folder / "manifest.json").read_text())
    assert manifest["metric"] == "mean_iou"
    dense, pruned, shipped = (manifest["metrics"][name] for name in ("dense", "pruned", "shipped"))
    assert pruned["macs"] <= 0.5 * dense["macs"]
    assert dense["accuracy"] < 0.5 < pruned["accuracy"]
    assert shipped["accuracy"] == pytest.approx(pruned["accuracy"], abs=0.01)
    assert shipped["samples"] == 24
    assert manifest["parity"]["top1_agreement"] is None
    assert manifest["parity"]["relative_error"] < 1e-4
    session = onnxruntime.InferenceSession(built.folder / "model.onnx")
    assert [output.shape for output in session.get_outputs()] == [[1, 2, 12, 12], [1, 1]]
    values = {row.key: row for row in rows(built.manifest)}
    assert values["accuracy"].name == "mean_iou"
    assert values["accuracy"].texts[1] == f"{pruned['accuracy']:.4g}"


def test_step_that_calls_parts_of_the_network_needs_only_a_metric(folder: Path) -> None:
    recipe = _recipe(folder, step="net.py:step", metric="net.py:mean_iou")
    built = _build(folder, recipe.override({"schedule.name": "iterative", "schedule.rounds": 2}))
    metrics = built.manifest.metrics
    assert metrics.dense.accuracy is not None
    assert metrics.shipped.accuracy is not None
    assert metrics.dense.accuracy < 0.5 < metrics.shipped.accuracy
    result = ReportData.load(built.folder)
    assert result.start is not None
    assert result.start < 0.5
    first, last = result.steps
    assert metrics.dense.macs > first.macs > last.macs == metrics.pruned.macs
    assert [step.accuracy for step in result.steps] == [
        [epoch.validation_accuracy for epoch in result.epochs if epoch.phase == number][-1] for number in (1, 2)
    ]
    assert all(len(group.remaining_scores) == group.remaining_units for group in result.groups if group.frozen is None)


def test_a_loss_alone_is_reported_as_such(folder: Path) -> None:
    built = _build(folder, _recipe(folder, loss="net.py:loss", epochs=1))
    manifest = built.manifest
    assert manifest.metric == "-loss"
    evaluation = read(built.folder).evaluation
    assert evaluation is not None
    assert evaluation.losses is not None
    sizes = [min(evaluation.batch_size or 0, 24 - start) for start in range(0, 24, evaluation.batch_size or 1)]
    mean = sum(loss * size for loss, size in zip(evaluation.losses, sizes, strict=True)) / 24
    assert manifest.metrics.shipped.accuracy == pytest.approx(-mean)
    assert manifest.metrics.dense.accuracy is not None
    assert manifest.metrics.shipped.accuracy is not None
    assert manifest.metrics.dense.accuracy < manifest.metrics.shipped.accuracy < 0


@pytest.mark.parametrize(("changes", "error", "message"), [
    ({}, ModelError, r"\(N, classes, ...\), got dict.*training\.loss"),
    ({"step": "net.py:step"}, RecipeError, r"training\.metric.*training\.step"),
    ({"step": "net.py:no_loss", "metric": "net.py:mean_iou"}, ModelError, r"training\.step .*got NoneType"),
    ({"loss": "net.py:no_loss"}, ModelError, r"training\.loss fails: TypeError"),
    ({"loss": "net.py:loss", "metric": "net.py:of_parts"}, ModelError, r"training\.metric fails: AttributeError"),
    (
        {"step": "net.py:step", "metric": "net.py:mean_iou", "criterion": "taylor"}, RecipeError,
        r"training\.step: .*training\.loss.*prune\.criterion",
    ),
    ({"data": "net.py:plain_data"}, ModelError, r"\(N, classes, ...\)"),
    ({"data": "net.py:plain_data", "loss": "net.py:loss"}, DataError, "samples of .* label"),
])  # fmt: skip
def test_invalid_objective_is_refused_before_training(
    folder: Path, changes: dict[str, Any], error: type[EdgePruneError], message: str
) -> None:
    with pytest.raises(error, match=message):
        _build(folder, _recipe(folder, **changes))
    assert not list(folder.glob("cache/*/train*"))
