"""The real case: ResNet-56 on CIFAR-10 as int8 on LiteRT and on TFLite Micro, where the data is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeprune.backends.litert import litert_session as litert
from edgeprune.backends.tflm import host_comparison
from edgeprune.config import Recipe
from edgeprune.export.onnx_export import export
from edgeprune.model import data, network
from edgeprune.tflite.conversion import convert
from edgeprune.tflite.tflite_quantizing import quantize

pytestmark = pytest.mark.long


def test_int8_is_within_half_a_point_of_float(shared_data: Path, tmp_path: Path) -> None:
    recipe = Recipe.load("cifar10-resnet56")
    folder = shared_data / "cifar10"
    loaded = data.load(recipe.data.function, base=recipe.folder, folder=folder)
    model = network.load_model(recipe.model.factory, folder / "resnet56.safetensors", base=recipe.folder)
    written = export(model, network.example_inputs(recipe.model.input), tmp_path / "m.onnx")
    source = convert(written.path, tmp_path / "float.tflite")
    result = quantize(source, tmp_path / "int8.tflite", loaded.train, samples=100)
    assert result.file_bytes < 0.3 * source.file_bytes
    assert result.operators == source.operators
    assert result.float_nodes == ()
    exact = litert.evaluate(source.path, loaded.validation, samples=1000).accuracy
    assert litert.evaluate(result.path, loaded.validation, samples=1000).accuracy >= exact - 0.005
    images = next(loaded.validation.batches(20))[0].numpy()
    assert host_comparison.compare(result.path, images).worst_steps <= 3
