"""A 1-d network, with signals (N, C, L), goes through the whole build for targets that run TFLite files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import edgeprune as ep
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.bundle import verification
from edgeprune.config import Recipe, Target
from edgeprune.model import data, weights
from edgeprune.model.user_objects import load_object
from edgeprune.pipeline import build
from edgeprune.pipeline.build_pipeline import BuildResult
from edgeprune.profile.golden_samples import NAME, Golden

pytestmark = pytest.mark.long

_CODE = """
import torch
from torch import nn

from edgeprune.model.data import Data, TensorSplit

def network():
    return nn.Sequential(
        nn.Conv1d(40, 24, 3, padding=1, bias=False), nn.BatchNorm1d(24), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(24, 24, 3, padding=1, bias=False), nn.BatchNorm1d(24), nn.ReLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(24, 4),
    )

def load():
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(320) % 4
    # Each class has its energy in other channels and at its own rate, as log-mel frames of words have.
    time, channels = torch.arange(47.0), torch.arange(40)
    signals = torch.stack([
        (channels // 10 == label)[:, None] * torch.sin(time * (0.3 + 0.4 * label))[None] for label in labels.tolist()
    ]) + 0.3 * torch.randn(320, 40, 47, generator=rng)
    return Data(train=TensorSplit(signals[:200], labels[:200]), validation=TensorSplit(signals[200:], labels[200:]))
"""
_RECIPE = """
name = "signals"
model.factory = "net.py:network"
model.weights = "net.safetensors"
model.input = [1, 40, 47]
data.function = "net.py:load"
budget.macs = 0.5
quantize.precision = "int8"
training.epochs = 3
training.batch_size = 20
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("signals")
    (folder / "net.py").write_text(_CODE)
    (folder / "recipe.toml").write_text(_RECIPE)
    torch.manual_seed(0)
    network = load_object("net.py:network", base=folder)()
    split = load_object("net.py:load", base=folder)().train
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(4):
        for inputs, labels in split.batches(20):
            optimizer.zero_grad()
            functional.cross_entropy(network(inputs), labels).backward()
            optimizer.step()
    weights.save(network.state_dict(), folder / "net.safetensors")
    return Recipe.load(folder / "recipe.toml")


@pytest.fixture(scope="module")
def samples(recipe: Recipe) -> np.ndarray:
    inputs, _ = next(iter(data.load(recipe.data.function, base=recipe.folder).validation.batches(8)))
    return np.asarray(inputs.numpy())


@pytest.fixture(scope="module")
def on_board(recipe: Recipe) -> BuildResult:
    return build(recipe, "nucleo-l4r5zi", output=recipe.folder / "dist", cache=recipe.folder / "cache")


@pytest.fixture(scope="module")
def on_raspberry(recipe: Recipe) -> BuildResult:
    target = Target.load("raspberry-pi-4").with_runtime("litert")
    return build(recipe, target, output=recipe.folder / "dist", cache=recipe.folder / "cache")


def test_int8_keeps_the_accuracy_on_both_targets(on_board: BuildResult, on_raspberry: BuildResult) -> None:
    for built in (on_board, on_raspberry):
        shipped, pruned = built.manifest.metrics.shipped, built.manifest.metrics.pruned
        assert shipped.accuracy is not None
        assert pruned.accuracy is not None
        assert shipped.accuracy >= max(0.9, pruned.accuracy - 0.03)
        assert built.manifest.parity.top1_agreement is not None
        assert built.manifest.parity.top1_agreement > 0.97
        verification.verify(built.folder)


def test_golden_samples_have_the_layout_of_the_network(on_board: BuildResult, samples: np.ndarray) -> None:
    golden = Golden.load(on_board.folder / NAME)
    np.testing.assert_array_equal(golden.inputs, samples[: len(golden.inputs)])
    result = Interpreter(on_board.folder / "model.tflite").predict(golden.inputs)
    assert golden.compare(result).top1_agreement == 1.0


def test_firmware_input_has_the_layout_of_the_file(on_board: BuildResult) -> None:
    folder = on_board.folder / "firmware"
    interpreter = Interpreter(on_board.folder / "model.tflite")
    (stored,) = interpreter.stored([Golden.load(on_board.folder / NAME).inputs[:1]])
    text = (folder / "golden.cc").read_text()
    first = text[text.index("  {0x") :].partition("}")[0]
    assert bytes(int(byte, 16) for byte in first.strip().strip("{").split(",") if byte.strip()) == stored.tobytes()
    assert interpreter.inputs[0].shape == (1, 47, 40)
    assert "1 x 47 x 40 (dimensions 0, 2, 1 of the network's 1 x 40 x 47)" in (folder / "README.md").read_text()


def test_the_profile_of_an_emulated_board_repeats_the_golden_outputs(on_board: BuildResult) -> None:
    _check_golden(on_board, "emulator:microcontroller")


def _check_golden(built: BuildResult, device: str) -> None:
    result = ep.profile(built.folder, device, runs=3, blocks=2, block_s=0, warmup=1, noise=100.0)
    assert result.validity is not None
    golden = result.validity.golden["int8"]
    assert golden.top1_agreement == 1
    assert golden.max_error is not None
    assert golden.max_error <= golden.tolerance


def test_the_runner_of_the_bundle_takes_signals(on_raspberry: BuildResult, samples: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "samples.npy", samples)
    argv = [sys.executable, "run.py", "--input", tmp_path / "samples.npy", "--output", tmp_path / "out.npz"]
    done = subprocess.run(argv, cwd=on_raspberry.folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    golden = Golden.load(on_raspberry.folder / NAME)
    (scores,) = np.load(tmp_path / "out.npz").values()
    np.testing.assert_allclose(scores[: len(golden.inputs)], golden.outputs[0], atol=0.1 * np.abs(scores).max())
    _check_golden(on_raspberry, "local:")
