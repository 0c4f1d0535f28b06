"""A U-Net with a label for each pixel goes through the whole build without a loss or metric of the user's own."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

import edgeprune
from edgeprune import backends
from edgeprune.bundle.bundle_reader import read
from edgeprune.config import Recipe
from edgeprune.model import weights

pytestmark = pytest.mark.long

_TASKS = Path(__file__).parents[2] / "scripts" / "small_tasks.py"
_SAMPLES = 48
_DATA = f"""
import runpy
from torch.utils.data import Subset

def load():
    splits = runpy.run_path({str(_TASKS)!r})["shapes_data"]()
    for split in splits.values():
        split.tensors[1][:, :2] = -100  # the first rows are not labelled
    counts = {{"train": 320, "validation": {_SAMPLES}, "test": {_SAMPLES}}}
    return {{role: Subset(split, range(counts[role])) for role, split in splits.items()}}
"""
_BOARD = """
name = "board"
profile = {{warmup = 1, runs = 4, blocks = 2}}
runtime = {{name = "{}"}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with a cache: the network is trained once for both runtimes."""
    return tmp_path_factory.mktemp("segmentation")


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_accuracy_of_a_segmentation_network_is_the_fraction_of_right_pixels(folder: Path, runtime: str) -> None:
    (folder / "mine.py").write_text(_DATA)
    (folder / "board.toml").write_text(_BOARD.format(runtime))
    values = {
        "name": "shapes", "model": {"factory": f"{_TASKS}:ShapesNet", "input": [1, 1, 32, 32]},
        "data": {"function": "mine.py:load"}, "budget": {"macs": 0.5}, "quantize": {"precision": "float32"},
        "prune": {"criterion": "fisher", "selection": "global", "align": 1},
        "training": {"epochs": 1, "batch_size": 16, "optimizer": "adamw", "lr": 0.1},
    }  # fmt: skip
    recipe = Recipe.parse(values, folder=folder, where="the test")
    built = edgeprune.build(recipe, folder / "board.toml", output=folder / "dist", cache=folder / "cache")

    tasks = runpy.run_path(str(_TASKS))
    images, labels = (tensor[:_SAMPLES] for tensor in tasks["shapes_data"]()["test"].tensors)
    labels[:, :2] = -100
    dense = tasks["ShapesNet"]().eval()
    pruned = edgeprune.Plan.load(built.folder / "plan.json").apply(dense, (images[:1],), verify=False)
    weights.load_into(pruned, built.folder / "weights.safetensors")
    with torch.no_grad():
        right = (pruned.eval()(images).argmax(1) == labels)[labels != -100]
    expected = float(right.float().mean())

    metrics = built.manifest.metrics
    assert (built.manifest.metric, metrics.shipped.samples) == ("accuracy", _SAMPLES)
    assert metrics.pruned.accuracy == pytest.approx(expected, abs=1e-6)
    assert metrics.shipped.accuracy == pytest.approx(expected, abs=0.005)
    assert metrics.dense.accuracy is not None
    assert expected > metrics.dense.accuracy + 0.02
    (file,) = built.folder.glob("model.*")
    (scores,) = backends.for_file(file).predictor(file)(images.numpy())
    counted = labels.numpy() != -100
    assert metrics.shipped.accuracy == pytest.approx((scores.argmax(1) == labels.numpy())[counted].mean())
    results = read(built.folder).evaluation
    assert results is not None
    assert results.losses is not None
    assert np.mean(results.losses) == pytest.approx(1 - metrics.shipped.accuracy)
