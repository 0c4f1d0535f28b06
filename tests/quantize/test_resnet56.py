"""The real case: ResNet-56 on CIFAR-10, where the data is at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeprune.backends.onnxruntime.onnxruntime_session import OnnxRuntimeSession, evaluate
from edgeprune.config import Recipe
from edgeprune.export.onnx_export import export
from edgeprune.export.parity import compare_variants
from edgeprune.model import data, network
from edgeprune.model.data import TensorSplit
from edgeprune.quantize import quantize
from tests.quantize.digits import executed

pytestmark = pytest.mark.long


def test_int8_is_within_half_a_point_of_float_and_runs_on_integers(shared_data: Path, tmp_path: Path) -> None:
    recipe = Recipe.load("cifar10-resnet56")
    folder = shared_data / "cifar10"
    loaded = data.load(recipe.data.function, base=recipe.folder, folder=folder)
    model = network.load_model(recipe.model.factory, folder / "resnet56.safetensors", base=recipe.folder)
    source = export(model, network.example_inputs(recipe.model.input), tmp_path / "float.onnx").path
    result = quantize(source, tmp_path / "int8.onnx", loaded.train, activations="uint8")
    assert result.file_bytes < 0.3 * source.stat().st_size
    ran = executed(result.path, tmp_path)
    assert (ran["QLinearConv"], ran["QLinearAdd"], ran["QGemm"]) == (55, 27, 1)
    assert (ran["QuantizeLinear"], ran["DequantizeLinear"]) == (3, 2)  # the input, and around two shortcuts
    exact, quantized = (evaluate(path, loaded.validation).accuracy for path in (source, result.path))
    assert quantized >= exact - 0.005
    inputs, labels = next(loaded.validation.batches(500))
    actual = compare_variants(
        OnnxRuntimeSession(source).predict,
        {"int8": OnnxRuntimeSession(result.path).predict},
        TensorSplit(inputs, labels),
    )["int8"]
    assert actual.parity.top1_agreement >= 0.98
    assert actual.parity.relative_error < 0.2
