"""Static int8 TFLite files: accuracy, what they hold, what stays float, what bad input gets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from torch import nn

from edgeprune.backends.litert import litert_session as litert
from edgeprune.backends.tflm import host_comparison, interpreter
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.errors import DataError, ModelError
from edgeprune.export.onnx_export import export
from edgeprune.model.data import TensorSplit
from edgeprune.tflite.conversion import TfliteConversion, convert
from edgeprune.tflite.tflite_file import operator_name, pack, read
from edgeprune.tflite.tflite_quantizing import FloatNode, quantize
from tests.quantize.digits import digits, trained, write
from tests.tflite.tflite_files import FLOAT, File

_INTEGERS = {schema.TensorType.INT8, schema.TensorType.INT32}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TfliteConversion:
    folder = tmp_path_factory.mktemp("float")
    return convert(write(trained(), folder / "float.onnx"), folder / "float.tflite")


@pytest.mark.long
def test_int8_keeps_the_accuracy_on_litert_and_on_tflite_micro(source: TfliteConversion, tmp_path: Path) -> None:
    result = quantize(source, tmp_path / "int8.tflite", digits().train)
    validation = digits().validation
    exact = litert.evaluate(source.path, validation).accuracy
    assert litert.evaluate(result.path, validation).accuracy >= exact - 0.01
    assert interpreter.evaluate(result.path, validation).accuracy >= exact - 0.01
    images = next(validation.batches(len(validation)))[0].numpy()
    actual = host_comparison.compare(result.path, images)
    assert actual.samples == len(validation)
    assert actual.worst_steps <= 2


def test_the_file_is_integer_through_and_through(source: TfliteConversion, tmp_path: Path) -> None:
    result = quantize(source, tmp_path / "int8.tflite", digits().train, samples=32)
    assert result.samples == 32
    assert result.file_bytes == result.path.stat().st_size < source.file_bytes
    assert result.operators == source.operators
    assert result.float_nodes == ()
    assert [(port.name, port.shape, port.order, port.dtype) for port in (*result.inputs, *result.outputs)] == [
        (port.name, port.shape, port.order, "int8") for port in (*source.inputs, *source.outputs)
    ]
    graph = read(result.path).subgraphs[0]
    assert {tensor.type for tensor in graph.tensors} <= _INTEGERS


def test_weights_are_symmetric_with_a_scale_a_channel(source: TfliteConversion, tmp_path: Path) -> None:
    model = read(quantize(source, tmp_path / "int8.tflite", digits().train, samples=32).path)
    graph = model.subgraphs[0]
    channels = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
    weighted = [op for op in graph.operators if operator_name(model, op) in channels]
    assert len(weighted) == 8
    for op in weighted:
        weights, axis = graph.tensors[op.inputs[1]], channels[operator_name(model, op)]
        assert len(weights.quantization.scale) == weights.shape[axis] > 1
        assert not weights.quantization.zeroPoint.any()


def _wide() -> nn.Module:
    """With weights that ai-edge-quantizer puts behind the flatbuffer."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4096), nn.ReLU(), nn.Linear(4096, 80)).eval()


def test_no_buffer_lies_outside_the_flatbuffer(tmp_path: Path) -> None:
    source = convert(write(_wide(), tmp_path / "m.onnx"), tmp_path / "m.tflite")
    result = quantize(source, tmp_path / "int8.tflite", digits().train, samples=8)
    stored = schema.Model.GetRootAs(result.path.read_bytes())
    assert all(stored.Buffers(index).Offset() == 0 for index in range(stored.BuffersLength()))
    assert result.file_bytes > 64 * 4096 + 4096 * 80


def test_a_bare_file_is_quantized_as_the_converted_one(source: TfliteConversion, tmp_path: Path) -> None:
    available = quantize(source, tmp_path / "known.tflite", digits().train, samples=8)
    bare = quantize(str(source.path), str(tmp_path / "bare.tflite"), digits().train, samples=8)
    assert bare.path.read_bytes() == available.path.read_bytes()
    assert bare.inputs == available.inputs


def test_the_seed_alone_decides_the_bytes(source: TfliteConversion, tmp_path: Path) -> None:
    def content(seed: int) -> bytes:
        return quantize(source, tmp_path / "int8.tflite", digits().train, samples=16, seed=seed).path.read_bytes()

    first = content(0)
    assert content(0) == first
    assert content(1) != first


def test_quantization_prints_nothing_and_leaves_no_files(
    source: TfliteConversion, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    quantize(source, tmp_path / "int8.tflite", digits().train, samples=8)
    assert tuple(capfd.readouterr()) == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["int8.tflite"]


def _converted(model: nn.Module, folder: Path, *, batch: int = 1) -> TfliteConversion:
    torch.manual_seed(0)
    written = export(model.eval(), (torch.randn(batch, 1, 8, 8),), folder / "m.onnx")
    return convert(written.path, folder / "m.tflite")


def test_operators_without_int8_kernel_stay_float_and_run(tmp_path: Path) -> None:
    source = _converted(nn.Sequential(nn.Conv2d(1, 4, 3), nn.PReLU(4), nn.Conv2d(4, 2, 3)), tmp_path)
    result = quantize(source, tmp_path / "int8.tflite", digits().train)
    assert result.float_nodes == (FloatNode("/network.1/PRelu", "PRELU"),)
    assert result.operators == {"CONV_2D": 2, "DEQUANTIZE": 1, "PRELU": 1, "QUANTIZE": 1}
    images = next(digits().validation.batches(50))[0].numpy()
    assert host_comparison.compare(result.path, images, result.inputs, result.outputs, classes=False).worst_steps <= 1


def test_signal_inputs_and_outputs_are_quantized(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2)).eval()
    signals = torch.randn(64, 3, 16)
    source = convert(export(model, (signals[:1],), tmp_path / "m.onnx").path, tmp_path / "m.tflite")
    result = quantize(source, tmp_path / "int8.tflite", TensorSplit(signals, torch.zeros(64, dtype=torch.int64)))
    with torch.no_grad():
        expected = model(signals).numpy()
    got = Interpreter(result.path, result.inputs, result.outputs).predict(signals.numpy())[0]
    np.testing.assert_allclose(got, expected, atol=3 * result.outputs[0].scale)


_LAYERS = {
    "convolution": lambda: (nn.Conv2d(4, 6, 3), 0),
    "depthwise": lambda: (nn.Conv2d(4, 8, 3, groups=4), 0),
    "transposed": lambda: (nn.ConvTranspose2d(4, 6, 2, stride=2), 1),
    "linear": lambda: (nn.Sequential(nn.Flatten(), nn.Linear(256, 6)), 0),
}


@pytest.mark.parametrize("factor", [0.0, 1e-9])
@pytest.mark.parametrize("kind", _LAYERS)
def test_dead_filters_return_their_bias_in_int8(kind: str, factor: float, tmp_path: Path) -> None:
    """int32 has no room for a bias in steps of a scale of nearly zero."""
    torch.manual_seed(0)
    model, dim = _LAYERS[kind]()
    layer = model[-1] if isinstance(model, nn.Sequential) else model
    with torch.no_grad():
        layer.weight.movedim(dim, 0)[1:4] *= factor
        layer.bias[1:4] = torch.tensor([1.0, -0.5, 0.25])
    samples = torch.randn(16, 4, 8, 8)
    source = convert(export(model.eval(), (samples[:1],), tmp_path / "m.onnx").path, tmp_path / "m.tflite")
    result = quantize(source, tmp_path / "int8.tflite", TensorSplit(samples, torch.zeros(16, dtype=torch.int64)))
    with torch.no_grad():
        expected = model(samples).numpy()
    for runtime in (litert.LiteRTSession, Interpreter):
        outputs = runtime(result.path, result.inputs, result.outputs).predict(samples.numpy())[0]
        np.testing.assert_allclose(outputs[:, 1:4], expected[:, 1:4], atol=result.outputs[0].scale)


def test_activation_that_is_zero_on_all_samples_is_loaded_by_litert(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).eval()
    nn.init.constant_(model[0].bias, -100)
    samples = torch.randn(16, 1, 8, 8)
    source = convert(export(model, (samples[:1],), tmp_path / "m.onnx").path, tmp_path / "m.tflite")
    result = quantize(source, tmp_path / "int8.tflite", TensorSplit(samples, torch.zeros(16, dtype=torch.int64)))
    with torch.no_grad():
        expected = model(samples).numpy()
    for runtime in (litert.LiteRTSession, Interpreter):
        outputs = runtime(result.path, result.inputs, result.outputs).predict(samples.numpy())[0]
        np.testing.assert_allclose(outputs, expected, atol=result.outputs[0].scale)


class _ClassToken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.token, images.flatten(2)], 1) + 1


def test_constant_beside_a_reshaped_part_is_quantized(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, samples = _ClassToken(), torch.randn(16, 5, 2, 4)
    source = convert(export(model, (samples[:1],), tmp_path / "m.onnx").path, tmp_path / "m.tflite")
    result = quantize(source, tmp_path / "int8.tflite", TensorSplit(samples, torch.zeros(16, dtype=torch.int64)))
    with torch.no_grad():
        expected = model(samples[:1]).numpy()
    actual = litert.LiteRTSession(result.path, result.inputs, result.outputs).predict(samples[:1].numpy())[0]
    np.testing.assert_allclose(actual, expected, atol=3 * result.outputs[0].scale)


class _Division(nn.Module):
    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset, self.last = offset, nn.Conv2d(2, 2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(images / (images.square() + self.offset))


@pytest.mark.parametrize(("offset", "floats"), [(0.01, 1), (2.0, 0)])
def test_division_by_values_near_zero_stays_float(offset: float, floats: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, samples = _Division(offset), torch.randn(16, 2, 8, 8)
    source = convert(export(model.eval(), (samples[:1],), tmp_path / "m.onnx").path, tmp_path / "m.tflite")
    result = quantize(source, tmp_path / "int8.tflite", TensorSplit(samples, torch.zeros(16, dtype=torch.int64)))
    assert [node.op for node in result.float_nodes] == ["DIV"] * floats
    for runtime in (litert.LiteRTSession, Interpreter):
        outputs = runtime(result.path, result.inputs, result.outputs).predict(samples.numpy())[0]
        assert np.isfinite(outputs).all()


def _truncated(folder: Path) -> Path:
    path = folder / "short.tflite"
    path.write_bytes(_converted(nn.ReLU(), folder).path.read_bytes()[:200])
    return path


def _many_parts(folder: Path) -> Path:
    """A file of another converter."""
    file = File()
    x, y = file.tensor("x", (1, 2), FLOAT), file.tensor("y", (1, 22), FLOAT)
    file.op("CONCATENATION", [x] * 11, [y], schema.ConcatenationOptionsT(axis=1))
    path = folder / "many.tflite"
    path.write_bytes(pack(file.model([x], [y])))
    return path


class _Many(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.sigmoid() * step for step in range(11)], 1)


def test_many_parts_are_joined_in_steps_that_tflite_micro_supports(tmp_path: Path) -> None:
    source = _converted(_Many(), tmp_path)
    result = quantize(source, tmp_path / "int8.tflite", digits().train, samples=8)
    images = next(digits().validation.batches(4))[0]
    got = Interpreter(result.path, result.inputs, result.outputs).predict(images.numpy())[0]
    np.testing.assert_allclose(got, _Many()(images).numpy(), atol=0.1)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda folder: _converted(nn.Sequential(nn.GELU(), nn.Conv2d(1, 2, 3)), folder).path,
            r"m\.tflite: node /network\.0/\S+ \(GELU\)",
        ),
        (_many_parts, r"\(CONCATENATION\).*\b11 inputs.* 10\b"),
        (lambda folder: _converted(nn.ReLU(), folder, batch=2).path, r"float32.*batch 1\b.*\[2, 8, 8, 1\]"),
        (lambda folder: folder / "none.tflite", r"none\.tflite"),
        (_truncated, r"short\.tflite .*TFLite.* of 200"),
    ],
)
def test_unquantizable_files_are_refused(build: Callable[[Path], Path], message: str, tmp_path: Path) -> None:
    path = tmp_path / "int8.tflite"
    path.write_bytes(b"an earlier file")
    with pytest.raises(ModelError, match=message):
        quantize(build(tmp_path), path, digits().train, samples=8)
    assert path.read_bytes() == b"an earlier file"


def test_quantized_file_is_refused(source: TfliteConversion, tmp_path: Path) -> None:
    result = quantize(source, tmp_path / "int8.tflite", digits().train, samples=8)
    with pytest.raises(ModelError, match=r"int8\.tflite"):
        quantize(result.path, tmp_path / "twice.tflite", digits().train, samples=8)


def test_an_activation_that_leaves_all_bounds_is_named(source: TfliteConversion, tmp_path: Path) -> None:
    model = read(source.path)
    weights = max((buffer for buffer in model.buffers if buffer.data is not None), key=lambda buffer: len(buffer.data))
    weights.data = np.full(len(weights.data) // 4, 3e38, np.float32).view(np.uint8)
    path = tmp_path / "huge.tflite"
    path.write_bytes(pack(model))
    with pytest.raises(ModelError, match=r"activation /\S+ .*finite"):
        quantize(path, tmp_path / "int8.tflite", digits().train, samples=8)


def _split(*shape: int) -> TensorSplit:
    return TensorSplit(torch.randn(shape), torch.zeros(shape[0], dtype=torch.int64))


@pytest.mark.parametrize(
    ("split", "message"),
    [(_split(20, 1, 9, 8), r"\(1, 9, 8\).*\(1, 8, 8\)"), (_split(0, 1, 8, 8), "got 0 samples")],
)
def test_invalid_calibration_data_is_refused(
    source: TfliteConversion, tmp_path: Path, split: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        quantize(source, tmp_path / "int8.tflite", split)
