"""The ONNX Runtime backend: predictions and accuracy are those of PyTorch, whatever the batch size of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgeprune.backends.file_module import as_module
from edgeprune.backends.onnxruntime import onnxruntime_session as backend
from edgeprune.errors import DataError, ModelError
from edgeprune.export.onnx_export import export
from edgeprune.model.data import TensorSplit


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5)).eval()


def model(folder: Path, *, batch: int = 1, dynamic: bool = False) -> Path:
    return export(network(), (torch.randn(batch, 3, 8, 8),), folder / "m.onnx", dynamic_batch=dynamic).path


def split(samples: int) -> TensorSplit:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (samples, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return TensorSplit(images, torch.randint(0, 5, (samples,), generator=generator))


@pytest.mark.parametrize(("batch", "dynamic"), [(1, False), (4, False), (1, True)])
@pytest.mark.parametrize("samples", [1, 7, 8])
def test_predictions_are_those_of_pytorch(tmp_path: Path, batch: int, dynamic: bool, samples: int) -> None:
    x = torch.randn(samples, 3, 8, 8)
    with torch.no_grad():
        expected = network()(x).numpy()
    session = backend.OnnxRuntimeSession(model(tmp_path, batch=batch, dynamic=dynamic), threads=1)
    assert session.batch_size == (None if dynamic else batch)
    for inputs, workers in ((x.numpy(), 1), ([x.numpy()], 2), ({"input": x.numpy()}, 3)):
        (got,) = session.predict(inputs, workers=workers)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_accuracy_of_a_map_of_classes_is_that_of_pytorch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    maps = nn.Conv2d(3, 4, 3, padding=1).eval()
    path = export(maps, (torch.randn(1, 3, 8, 6),), tmp_path / "m.onnx").path
    images = torch.randn(30, 3, 8, 6)
    labels = torch.randint(0, 4, (30, 8, 6))
    labels[3:5] = labels[:, 0] = -100
    with torch.no_grad():
        right, counted = maps(images).argmax(1) == labels, labels != -100
    result = backend.evaluate(path, TensorSplit(images, labels))
    assert result.accuracy == pytest.approx(float(right.sum() / counted.sum()))
    assert (result.samples, result.correct, result.batch_size) == (30, b"", 1)
    wrong = (counted & ~right).sum((1, 2)) * 30 / counted.sum()
    assert result.losses == pytest.approx(wrong.tolist())
    assert np.mean(result.losses) == pytest.approx(1 - result.accuracy)
    with pytest.raises(DataError, match=r"\(30, 8, 6\).*\(30, 6, 8\)"):
        backend.evaluate(path, TensorSplit(images, labels.mT))
    with pytest.raises(DataError, match="-100"):
        backend.evaluate(path, TensorSplit(images, torch.full_like(labels, -100)))


def test_accuracy_is_that_of_pytorch_over_the_whole_split(tmp_path: Path) -> None:
    data = split(300)  # more than one batch, the last one smaller
    images, labels = zip(*data.batches(300), strict=True)
    with torch.no_grad():
        expected = float((network()(images[0]).argmax(1) == labels[0]).float().mean())
    result = backend.evaluate(model(tmp_path, batch=4), data)
    assert result.accuracy == pytest.approx(expected)
    assert result.samples == 300
    with torch.no_grad():
        correct = (network()(images[0]).argmax(1) == labels[0]).numpy()
    assert np.unpackbits(np.frombuffer(result.correct, np.uint8), count=300).tolist() == correct.tolist()


class _Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scores, self.boxes = network(), nn.Conv2d(3, 4, 3)

    def forward(self, image: torch.Tensor, scale: torch.Tensor) -> dict[str, Any]:
        return {"boxes": [self.boxes(image * scale)], "stride": 2, "scores": self.scores(image)}


def test_predictions_equal_those_of_the_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    detector = _Detector().eval()
    example = {"image": torch.randn(1, 3, 8, 8), "scale": torch.randn(1, 1, 1, 1)}
    inputs = {"image": torch.randn(5, 3, 8, 8), "scale": torch.randn(5, 1, 1, 1)}
    with torch.no_grad():
        module = as_module(backend.predictor(export(detector, example, tmp_path / "m.onnx").path), detector(**example))
        torch.testing.assert_close(module(**inputs), detector(**inputs), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(module(*inputs.values()), detector(*inputs.values()), rtol=1e-4, atol=1e-5)


def test_options_follow_the_target() -> None:
    options = backend.session_options(threads=3, spinning=False)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert backend.session_options().intra_op_num_threads >= 1


def test_invalid_model_file_is_named_in_the_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        backend.predict(path, np.zeros((1, 3, 8, 8), np.float32))


def test_inputs_of_the_wrong_shape_are_refused(tmp_path: Path) -> None:
    session = backend.OnnxRuntimeSession(model(tmp_path))
    with pytest.raises(ModelError, match=r"(?s)m\.onnx.*Got: 9 Expected: 8"):
        session.predict(np.zeros((1, 3, 9, 9), np.float32))
    with pytest.raises(ModelError, match=r"input\b.* 2 "):
        session.predict([np.zeros((1, 3, 8, 8), np.float32)] * 2)


def test_an_empty_split_and_outputs_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = model(tmp_path)
    with pytest.raises(DataError):
        backend.evaluate(path, split(0))
    proto = onnx.load(path)
    bias = next(tensor for tensor in proto.graph.initializer if tensor.name == "3.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(5, np.nan, np.float32), bias.name))
    onnx.save(proto, path)
    with pytest.raises(ModelError, match=rf"{path}.*NaN"):
        backend.evaluate(path, split(3))
