"""The same boards with LiteRT: the whole build, and the bundle by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeprune import backends
from edgeprune.config import Recipe, Target
from edgeprune.errors import TargetError
from edgeprune.model import data
from edgeprune.pipeline import build
from edgeprune.pipeline.build_pipeline import BuildResult

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    folder = tmp_path_factory.mktemp("litert")
    recipe = Recipe.load("digits").override({"training.epochs": 1, "quantize.precision": "int8"})
    return build(recipe, Target.load("host").with_runtime("litert"), output=folder / "dist", cache=folder / "cache")


def test_litert_bundle_keeps_the_accuracy_in_both_precisions(built: BuildResult) -> None:
    manifest = built.manifest
    assert manifest.target == "host-litert"
    assert manifest.precision is not None
    assert manifest.precision.shipped == "int8"
    whole, int8 = manifest.precision.candidates["float32"], manifest.precision.candidates["int8"]
    assert whole.top1_agreement == 1.0
    assert whole.accuracy is not None
    assert int8.accuracy is not None
    assert int8.accuracy >= whole.accuracy - 0.005
    assert int8.file_bytes < 0.5 * whole.file_bytes
    assert set(built.profile.models) == {"dense", "pruned", "int8"}
    assert built.profile.device["runtime"] in ("ai-edge-litert", "ai_edge_litert")


def test_bundle_runs_without_edgeprune(built: BuildResult, tmp_path: Path) -> None:
    recipe = Recipe.load("digits")
    inputs, _ = next(iter(data.load(recipe.data.function, base=recipe.folder).validation.batches(32)))
    np.save(tmp_path / "samples.npy", inputs.numpy())
    argv = [sys.executable, "run.py", "--input", tmp_path / "samples.npy", "--output", tmp_path / "out.npz"]
    done = subprocess.run(argv, cwd=built.folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    (scores,) = np.load(tmp_path / "out.npz").values()
    (expected,) = backends.backend("litert").predictor(built.folder / "model.tflite")(inputs.numpy())
    assert (scores.reshape(32, -1).argmax(1) == expected.argmax(1)).all()
    assert len(set(expected.argmax(1))) > 5


def test_a_runtime_that_a_board_does_not_have_is_refused() -> None:
    with pytest.raises(TargetError, match=r"raspberry-pi-4: got 'tensorrt'"):
        Target.load("raspberry-pi-4").with_runtime("tensorrt")
    board = Target.load("raspberry-pi-5")
    assert board.with_runtime("onnxruntime") is board
