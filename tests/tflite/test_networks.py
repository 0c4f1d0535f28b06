"""Whole networks from PyTorch through ONNX to TFLite: the operators that are left, and what they compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from edgeprune.backends.litert.litert_session import LiteRTSession
from edgeprune.backends.onnxruntime import onnxruntime_session as reference
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.config import Recipe
from edgeprune.export.onnx_export import export
from edgeprune.model import data, network
from edgeprune.tflite.conversion import TfliteConversion, convert
from tests.tflite.networks import (
    Dense,
    InvertedResidual,
    Shortcut,
    Shuffle,
    SqueezeExcite,
    Transformer,
    conv,
    seeded,
)

_CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], Mapping[str, int]]] = {
    "MobileNet": (
        lambda: nn.Sequential(conv(3, 8), nn.ReLU6(), InvertedResidual(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                              nn.Linear(8, 5)),
        (2, 3, 8, 8),
        {"ADD": 1, "AVERAGE_POOL_2D": 1, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1},
    ),
    "squeeze and excite": (
        lambda: SqueezeExcite(6),
        (1, 6, 7, 7),
        {"AVERAGE_POOL_2D": 1, "CONV_2D": 1, "FULLY_CONNECTED": 2, "HARD_SWISH": 1, "MUL": 2, "RESHAPE": 1},
    ),
    "ShuffleNet": (
        lambda: nn.Sequential(conv(3, 8), Shuffle(8), Shuffle(8), nn.Conv2d(8, 4, 1)),
        (1, 3, 6, 6),
        {"CONCATENATION": 2, "CONV_2D": 4, "RESHAPE": 4, "SLICE": 4, "TRANSPOSE": 2},
    ),
    "zero-padded shortcut": (
        lambda: nn.Sequential(conv(3, 4), nn.ReLU(), Shortcut(4)),
        (1, 3, 8, 8),
        {"ADD": 1, "CONV_2D": 2, "PAD": 2, "STRIDED_SLICE": 1},
    ),
    "DenseNet": (
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), Dense(6), Dense(10), nn.BatchNorm2d(14), nn.ReLU()),
        (1, 3, 8, 8),
        {"ADD": 3, "CONCATENATION": 2, "CONV_2D": 3, "MUL": 3},
    ),
    "padded max-pooling": (
        lambda: nn.Sequential(conv(3, 8), nn.ReLU(), nn.MaxPool2d(3, 2, 1), conv(8, 8), nn.MaxPool2d(3, 2, 1)),
        (1, 3, 12, 12),
        {"CONV_2D": 2, "MAX_POOL_2D": 2, "MIRROR_PAD": 1, "PAD": 1},
    ),
    "flattened image": (
        lambda: nn.Sequential(conv(3, 8, stride=2), nn.MaxPool2d(2), nn.Flatten(), nn.ReLU(), nn.Linear(8 * 16, 5)),
        (3, 3, 16, 16),
        {"CONV_2D": 1, "FULLY_CONNECTED": 1, "MAX_POOL_2D": 1, "PAD": 1},
    ),
    "one-dimensional": (
        lambda: nn.Sequential(nn.Conv1d(3, 8, 3, padding=1), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2),
                              nn.Conv1d(8, 8, 3, padding=2, dilation=2, groups=8), nn.Flatten(), nn.Linear(64, 5)),
        (1, 3, 16),
        {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "MAX_POOL_2D": 1, "RESHAPE": 1},
    ),
    "super resolution": (
        lambda: nn.Sequential(conv(3, 8), nn.PReLU(8), conv(8, 12), nn.ReLU(), nn.PixelShuffle(2)),
        (1, 3, 6, 6),
        {"CONV_2D": 2, "DEPTH_TO_SPACE": 1, "PRELU": 1},
    ),
    "decoder": (
        lambda: nn.Sequential(nn.ConvTranspose2d(3, 8, 4, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
                              nn.Upsample(scale_factor=2), conv(8, 4), nn.Upsample(scale_factor=2, mode="bilinear"),
                              nn.Softmax(1)),
        (1, 3, 4, 4),
        {"CONV_2D": 1, "RESIZE_BILINEAR": 1, "RESIZE_NEAREST_NEIGHBOR": 1, "SOFTMAX": 1, "TRANSPOSE_CONV": 1},
    ),
}  # fmt: skip


def _converted(model: nn.Module, shape: tuple[int, ...], folder: Path) -> TfliteConversion:
    """Convert ``model``, and hold it against ONNX Runtime."""
    x = torch.randn(shape)
    written = export(model, (x,), folder / "m.onnx")
    converted = convert(written.path, folder / "m.tflite")
    samples = np.concatenate([x.numpy(), np.float32(2) * x.numpy()[:1]])  # not a multiple of the batch
    expected = reference.predict(written.path, samples, threads=1)
    for requested, got in zip(expected, LiteRTSession(converted.path).predict(samples), strict=True):
        np.testing.assert_allclose(got, requested, rtol=0, atol=1e-5 * np.abs(requested).max())
    return converted


@pytest.mark.parametrize("name", _CASES)
def test_a_network_keeps_the_operators_it_needs(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    build, shape, operators = _CASES[name]
    assert _converted(seeded(build()), shape, tmp_path).operators == operators


def test_vision_transformer_has_only_the_transposes_of_attention(tmp_path: Path) -> None:
    torch.manual_seed(0)
    result = _converted(seeded(Transformer()), (1, 3, 8, 8), tmp_path).operators
    counted = {name: result[name] for name in ("BATCH_MATMUL", "CONV_2D", "FULLY_CONNECTED", "GELU", "SOFTMAX")}
    assert counted == {"BATCH_MATMUL": 2, "CONV_2D": 1, "FULLY_CONNECTED": 5, "GELU": 1, "SOFTMAX": 1}
    assert result["TRANSPOSE"] <= 4


@pytest.fixture(scope="module")
def resnet56(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TfliteConversion]:
    recipe = Recipe.load("cifar10-resnet56")
    weights = shared_data / "cifar10" / "resnet56.safetensors"
    model = network.load_model(recipe.model.factory, weights, base=recipe.folder)
    folder = tmp_path_factory.mktemp("resnet56")
    written = export(model, (torch.zeros(1, 3, 32, 32),), folder / "m.onnx")
    return written.path, convert(written.path, folder / "m.tflite")


@pytest.mark.long
def test_resnet56_is_convolutions_and_sums(resnet56: tuple[Path, TfliteConversion]) -> None:
    path, converted = resnet56
    assert converted.operators == {
        "ADD": 27, "AVERAGE_POOL_2D": 1, "CONV_2D": 55, "FULLY_CONNECTED": 1, "PAD": 4, "STRIDED_SLICE": 2,
    }  # fmt: skip
    assert converted.file_bytes <= 1.02 * path.stat().st_size


@pytest.mark.long
def test_resnet56_outputs_equal_those_of_onnxruntime(
    resnet56: tuple[Path, TfliteConversion], shared_data: Path
) -> None:
    path, converted = resnet56
    recipe = Recipe.load("cifar10-resnet56")
    splits = data.load(recipe.data.function, base=recipe.folder, folder=shared_data / "cifar10")
    images = next(splits.validation.batches(64))[0].numpy()
    expected = reference.predict(path, images)[0]
    np.testing.assert_allclose(
        LiteRTSession(converted.path).predict(images)[0], expected, atol=1e-5 * np.abs(expected).max()
    )


def test_tflite_micro_runs_the_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    build, shape, _ = _CASES["MobileNet"]
    converted = _converted(seeded(build()), shape, tmp_path)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    micro = Interpreter(converted.path, converted.inputs, converted.outputs)
    np.testing.assert_allclose(micro.predict(x)[0], LiteRTSession(converted.path).predict(x)[0], atol=1e-5)
