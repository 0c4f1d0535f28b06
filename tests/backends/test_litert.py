"""The LiteRT backend: predictions and accuracy are those of PyTorch, float or int8, however many run at a time."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgeprune.backends.litert import litert_session as litert
from edgeprune.backends.onnxruntime.onnxruntime_session import OnnxRuntimeSession
from edgeprune.errors import DataError, ModelError
from edgeprune.export.onnx_export import export
from edgeprune.model.data import TensorSplit
from edgeprune.tflite.conversion import TfliteConversion, convert
from edgeprune.tflite.tflite_file import pack, read, state_orders
from edgeprune.tflite.tflite_quantizing import quantize


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()


def _converted(folder: Path, *, batch: int = 1) -> TfliteConversion:
    return convert(export(_network(), (torch.randn(batch, 3, 8, 8),), folder / "m.onnx").path, folder / "m.tflite")


def _split(samples: int) -> TensorSplit:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn((samples, 3, 8, 8), generator=generator)
    return TensorSplit(images, torch.randint(0, 5, (samples,), generator=generator))


@pytest.mark.parametrize(("batch", "samples"), [(1, 1), (1, 7), (4, 7), (4, 8)])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("kernels", get_args(litert.Kernels))
def test_predictions_are_those_of_pytorch(
    tmp_path: Path, batch: int, samples: int, workers: int, kernels: litert.Kernels
) -> None:
    x = torch.randn(samples, 3, 8, 8)
    with torch.no_grad():
        expected = _network()(x).numpy()
    session = litert.LiteRTSession(_converted(tmp_path, batch=batch).path, workers=workers, kernels=kernels)
    np.testing.assert_allclose(session.predict(x.numpy())[0], expected, rtol=1e-4, atol=1e-5)


class _StepsFirst(nn.Module):
    """Scores of steps in front of the batch, as the CTC loss takes them, and a mean over everything."""

    def __init__(self, *, scalar: bool) -> None:
        super().__init__()
        self.scores, self.scalar = nn.Conv1d(3, 4, 3), scalar

    def forward(self, x: Tensor) -> Tensor:
        scores = self.scores(x)
        return scores.mean() if self.scalar else scores.permute(2, 0, 1)


@pytest.mark.parametrize(("scalar", "shape"), [(True, "()"), (False, "(6, 1, 4)")])
def test_outputs_without_the_batch_first_are_refused_by_name_and_shape(
    tmp_path: Path, scalar: bool, shape: str
) -> None:
    x = torch.randn(1, 3, 8)
    path = export(_StepsFirst(scalar=scalar), (x,), tmp_path / "m.onnx").path
    for session in (OnnxRuntimeSession(path), litert.LiteRTSession(convert(path, tmp_path / "m.tflite").path)):
        with pytest.raises(ModelError) as caught:
            session.predict(x.numpy())
        assert "output" in str(caught.value)
        assert shape in str(caught.value)


def test_accuracy_is_that_of_pytorch(tmp_path: Path) -> None:
    split = _split(300)
    images, labels = next(split.batches(300))
    with torch.no_grad():
        right = (_network()(images).argmax(1) == labels).float()
    path = _converted(tmp_path).path
    whole, part = litert.evaluate(path, split), litert.evaluate(path, split, samples=270)
    assert (whole.accuracy, whole.samples) == (pytest.approx(float(right.mean())), 300)
    assert (part.accuracy, part.samples) == (pytest.approx(float(right[:270].mean())), 270)


def test_quantized_file_has_float_inputs_and_outputs(tmp_path: Path) -> None:
    result = quantize(_converted(tmp_path), tmp_path / "int8.tflite", _split(64))
    images = next(_split(32).batches(32))[0]
    with torch.no_grad():
        expected = _network()(images).numpy()
    got = litert.predictor(result.path)(images.numpy())[0]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=6 * result.outputs[0].scale)
    steps = got / np.float32(result.outputs[0].scale)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)


def test_file_that_litert_cannot_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"LiteRT.*none\.tflite"):
        litert.predict(tmp_path / "none.tflite", np.zeros((1, 3, 8, 8), np.float32))
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"LiteRT.*broken\.tflite"):
        litert.predictor(path)
    with pytest.raises(DataError):
        litert.evaluate(_converted(tmp_path).path, _split(0))


def test_file_of_signals_has_inputs_and_outputs_of_the_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(5, 8, 3), nn.ReLU(), nn.Conv1d(8, 6, 1)).eval()
    x = torch.randn(4, 5, 12)
    source = convert(export(network, (x[:1],), tmp_path / "m.onnx").path, tmp_path / "m.tflite")
    labels = torch.zeros(4, dtype=torch.long)
    int8 = quantize(source.path, tmp_path / "int8.tflite", TensorSplit(x, labels))
    with torch.no_grad():
        expected = network(x).numpy()
    assert source.inputs[0].order == (0, 2, 1)
    for path, tolerance in ((source.path, 1e-4), (int8.path, 0.1)):
        (got,) = litert.predict(path, x.numpy())
        np.testing.assert_allclose(got, expected, atol=tolerance)


def test_orders_that_do_not_match_the_file_are_refused(tmp_path: Path) -> None:
    source = _converted(tmp_path)
    model = read(source.path)
    for wrong in ([[0, 1, 2]], [], [[0, 0, 1, 2]], [["a"]]):
        state_orders(model, wrong, [[0, 1]])  # type: ignore[arg-type]
        source.path.write_bytes(pack(model))
        with pytest.raises(ModelError, match=r"edgeprune\.orders"):
            litert.LiteRTSession(source.path)
