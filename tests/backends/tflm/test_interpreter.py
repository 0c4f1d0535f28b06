"""TFLite Micro beside LiteRT: what it computes, whether both agree, what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_quantizer import quantizer, recipe
from torch import nn

from edgeprune.backends.agreement import Agreement
from edgeprune.backends.tflm import host_comparison, interpreter
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.errors import DataError, ModelError, ParityError
from edgeprune.export.onnx_export import export
from edgeprune.model.data import TensorSplit
from edgeprune.operator_facts.tflite_operators import TFLITE
from edgeprune.tflite.conversion import TfliteConversion, convert
from edgeprune.tflite.tflite_quantizing import QuantizedTflite, quantize


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 5)).eval()


def _split(samples: int) -> TensorSplit:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 5, (samples,), generator=generator)
    return TensorSplit(torch.randn((samples, 3, 8, 8), generator=generator), labels)


def _converted(network: nn.Module, folder: Path, *, batch: int = 1) -> TfliteConversion:
    written = export(network, (torch.randn(batch, 3, 8, 8),), folder / "m.onnx")
    return convert(written.path, folder / "m.tflite")


def _quantized(network: nn.Module, folder: Path) -> QuantizedTflite:
    return quantize(_converted(network, folder), folder / "int8.tflite", _split(64))


def _images(count: int) -> np.ndarray:
    return next(_split(count).batches(count))[0].numpy()


@pytest.mark.parametrize(("batch", "samples"), [(1, 3), (2, 5)])
def test_float_file_computes_the_same_as_pytorch(tmp_path: Path, batch: int, samples: int) -> None:
    path = _converted(_network(), tmp_path, batch=batch).path
    with torch.no_grad():
        expected = _network()(torch.from_numpy(_images(samples))).numpy()
    np.testing.assert_allclose(interpreter.predictor(path)(_images(samples))[0], expected, rtol=1e-4, atol=1e-5)


def test_accuracy_uses_the_requested_number_of_samples(tmp_path: Path) -> None:
    path, split = _converted(_network(), tmp_path).path, _split(20)
    images, labels = next(split.batches(12))
    with torch.no_grad():
        expected = float((_network()(images).argmax(1) == labels).float().mean())
    result = interpreter.evaluate(path, split, samples=12)
    assert (result.accuracy, result.samples) == (pytest.approx(expected), 12)


def test_an_int8_file_agrees_with_litert(tmp_path: Path) -> None:
    result = _quantized(_network(), tmp_path)
    output = host_comparison.compare(result.path, _images(30), result.inputs, result.outputs)
    assert (output.top1_agreement, output.samples, output.kernels) == (1.0, 30, "reference")
    assert output.worst_steps <= 1
    assert output.mean_steps <= output.worst_steps


class _Sums(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.sum((2, 3))


def test_error_of_a_wrong_kernel_is_larger_than_rounding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TFLITE._facts, "SUM", replace(TFLITE["SUM"], int8="integer"))  # wrong in TFLite Micro
    result = _quantized(_Sums(), tmp_path)
    assert result.float_nodes == ()
    with pytest.raises(ParityError, match=r"\b\d+ quantization steps,.* 4\b"):
        host_comparison.compare(result.path, _images(10), classes=False)


def test_agreement_and_accuracy_of_a_map_of_classes_count_its_pixels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1)).eval()
    result = _quantized(network, tmp_path)
    with torch.no_grad():
        labels = network(torch.from_numpy(_images(20))).argmax(1)
    labels[:, 0] = -100
    output = host_comparison.compare(result.path, _images(20), result.inputs, result.outputs, labels=labels.numpy())
    assert output.top1_agreement is not None
    assert 0.95 < output.top1_agreement <= 1
    assert output.accuracy is not None
    assert 0.9 < output.accuracy <= 1
    with pytest.raises(DataError, match=r"\(20, 8, 8\).*\(20, 8\)"):
        host_comparison.compare(result.path, _images(20), result.inputs, result.outputs, labels=labels[:, 0].numpy())


def test_disagreement_on_classes_is_an_error(tmp_path: Path) -> None:
    result = Agreement(top1_agreement=0.9, worst_steps=2, mean_steps=0.1, samples=100, kernels="reference")
    with pytest.raises(ParityError, match=r"m\.tflite.*90\.00%.* 100 samples.*99\.5%"):
        result.check(tmp_path / "m.tflite", "TFLite Micro")
    tie = Agreement(top1_agreement=0.99, worst_steps=2, mean_steps=0.1, samples=100, kernels="reference")
    tie.check(tmp_path / "m.tflite", "TFLite Micro")


def test_a_float_file_has_no_steps(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="FULLY_CONNECTED"):
        host_comparison.compare(_converted(_network(), tmp_path).path, _images(1))


def test_an_operator_without_kernel_is_named(tmp_path: Path) -> None:
    path = _converted(nn.Sequential(nn.GELU(), nn.Conv2d(3, 2, 3)).eval(), tmp_path).path
    with pytest.raises(ModelError, match=r"m\.tflite: .*'GELU'"):
        Interpreter(path)


def test_failing_kernel_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Root(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.abs().sqrt()

    monkeypatch.setitem(TFLITE._facts, "SQRT", replace(TFLITE["SQRT"], int8="integer"))
    path = _quantized(Root(), tmp_path).path
    with pytest.raises(ModelError, match=r"TFLite.*INT8.*!=.*FLOAT32.*SQRT"):
        interpreter.predictor(path)(_images(1))


def test_inputs_of_the_wrong_shape_are_refused(tmp_path: Path) -> None:
    interpreter = Interpreter(_converted(_network(), tmp_path).path)
    with pytest.raises(ModelError, match=r"TFLite Micro: input input.*\(1, 3, 8, 8\).*\(1, 3, 8, 9\)"):
        interpreter.predict(np.zeros((1, 3, 8, 9), np.float32))
    with pytest.raises(ModelError, match=r"input input.*float32.*int16"):
        interpreter.predict(np.zeros((1, 3, 8, 8), np.int16))


def test_invalid_files_are_refused(tmp_path: Path) -> None:
    path = _converted(_network(), tmp_path).path
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for cut in (0, 3, 50, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(ModelError, match=r"LiteRT.*m\.tflite"):
            Interpreter(path)
    for _ in range(30):
        hostile = bytearray(content)
        for place in rng.integers(0, 600, 20):
            hostile[place] = rng.integers(256)
        path.write_bytes(bytes(hostile))
        try:
            Interpreter(path)
        except ModelError:
            refused += 1
    assert refused > 0


def test_weights_behind_the_flatbuffer_are_refused(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2048), nn.Linear(2048, 5)).eval()
    path = _converted(network, tmp_path).path
    path.write_bytes(quantizer.Quantizer(path.read_bytes(), recipe.dynamic_wi8_afp32()).quantize().quantized_model)
    with pytest.raises(ModelError, match=r"\d buffers "):
        Interpreter(path)


def test_labels_give_the_accuracy_of_both(tmp_path: Path) -> None:
    result = _quantized(_network(), tmp_path)
    images, labels = next(_split(40).batches(40))
    output = host_comparison.compare(result.path, images.numpy(), result.inputs, result.outputs, labels=labels.numpy())
    assert output.accuracy == pytest.approx(interpreter.evaluate(result.path, _split(40)).accuracy)
    assert output.litert_accuracy == pytest.approx(output.accuracy, abs=1 / 40)
    assert host_comparison.compare(result.path, images.numpy()).accuracy is None


def test_interpreter_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result = _quantized(_network(), tmp_path)
    Interpreter(result.path).arena()
    host_comparison.compare(result.path, _images(2))
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.parametrize(("name", "shape", "classes"), [("ic", (3, 32, 32), True), ("ad01", (640,), False)])
def test_mlperf_tiny_differs_by_rounding(shared_data: Path, name: str, shape: tuple[int, ...], classes: bool) -> None:
    path = shared_data / "models" / f"mlperf_tiny_{name}_int8.tflite"
    entry = Interpreter(path).inputs[0]
    steps = np.random.default_rng(0).integers(-128, 128, (10, *shape)).astype(np.float32)
    samples = (steps - entry.zero_point) * np.float32(entry.scale)
    assert host_comparison.compare(path, samples, classes=classes).worst_steps <= 3
