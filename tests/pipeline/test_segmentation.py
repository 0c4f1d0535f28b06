"""A U-Net with a label for each pixel goes through the whole build without a loss or metric of the user's own."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils import data

import edgeprune
from edgeprune.backends import running
from edgeprune.bundle.reading import read
from edgeprune.config import Recipe

_TASKS = Path(__file__).parents[2] / "scripts" / "small_tasks.py"
_DATA = f"""
import runpy
from torch.utils.data import Subset

def load():
    splits = runpy.run_path({str(_TASKS)!r})["shapes_data"]()
    for split in splits.values():
        split.tensors[1][:, :2] = -100  # the outermost rows are not labelled
    return {{role: Subset(split, range(48)) for role, split in splits.items()}}
"""
_BOARD = """
name = "board"
profile = {{warmup = 1, runs = 4, blocks = 2}}
runtime = {{name = "{}"}}
parity = {{int8_top1_agreement = 0.5}}
"""


def _test_part() -> tuple[np.ndarray, np.ndarray]:
    images, labels = runpy.run_path(str(_TASKS))["shapes_data"]()["test"].tensors
    labels = labels[:48].clone()
    labels[:, :2] = -100
    return images[:48].numpy(), labels.numpy()


@pytest.mark.long
@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_accuracy_of_a_segmentation_network_is_the_fraction_of_right_pixels(tmp_path: Path, runtime: str) -> None:
    (tmp_path / "mine.py").write_text(_DATA)
    (tmp_path / "board.toml").write_text(_BOARD.format(runtime))
    values = {
        "name": "shapes", "model": {"factory": f"{_TASKS}:ShapesNet", "input": [1, 1, 32, 32]},
        "data": {"function": "mine.py:load"}, "budget": {"macs": 0.5}, "quantize": {"precision": "int8", "samples": 32},
        "training": {"epochs": 1, "batch_size": 16, "optimizer": "adamw", "lr": 0.01},
    }  # fmt: skip
    recipe = Recipe.parse(values, folder=tmp_path, where="the test")
    built = edgeprune.build(recipe, tmp_path / "board.toml", output=tmp_path / "dist", cache=tmp_path / "cache")
    manifest, (images, labels) = built.manifest, _test_part()
    shipped = manifest.metrics.shipped
    assert (manifest.metric, shipped.samples) == ("accuracy", 48)
    counted = labels != -100

    pruned = edgeprune.Plan.load(built.folder / "plan.json")
    del pruned
    (model,) = built.folder.glob("model.*")
    (scores,) = running.predictor(model)(images)
    assert shipped.accuracy == pytest.approx(float((scores.argmax(1) == labels)[counted].mean()), abs=1e-9)
    results = read(built.folder).evaluation
    assert results is not None
    assert results.correct is None
    assert np.mean(results.losses) == pytest.approx(1 - shipped.accuracy)
