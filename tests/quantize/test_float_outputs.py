"""Outputs that join parts of unlike range keep a scale for each part, in ONNX and in TFLite files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgeprune.backends.litert import litert_session as litert
from edgeprune.backends.onnxruntime import onnxruntime_session as onnxruntime
from edgeprune.backends.tflm import host_comparison
from edgeprune.backends.tflm.interpreter import Interpreter
from edgeprune.export import parity
from edgeprune.export.onnx_export import export
from edgeprune.model.data import TensorSplit
from edgeprune.quantize import quantize as quantize_onnx
from edgeprune.quantize.float_outputs import OutputOperator, float_steps
from edgeprune.tflite.conversion import convert
from edgeprune.tflite.tflite_quantizing import QuantizedTflite, quantize

Join = Callable[[Tensor, Tensor], Tensor]


def _levels(boxes: Tensor, scores: Tensor) -> Tensor:
    whole = torch.cat([boxes, scores], 1).flatten(2)
    half = torch.cat([boxes[:, :, ::2, ::2], scores[:, :, ::2, ::2]], 1).flatten(2)
    return torch.cat([whole, half], 2).permute(0, 2, 1)


_JOINS: dict[str, tuple[int, Join]] = {
    "maps": (1, lambda boxes, scores: torch.cat([boxes, scores], 1)),
    "anchors": (2, lambda boxes, scores: torch.cat([boxes.flatten(2), scores.flatten(2)], 1).transpose(1, 2)),
    "levels": (2, _levels),
}


class Detector(nn.Module):
    """Four box values in pixels and three scores at every place."""

    def __init__(self, join: Join, pixels: float = 320) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU())
        self.boxes, self.scores = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 3, 1)
        self.join, self.pixels = join, pixels
        for layer in (self.boxes, self.scores):
            layer.weight.data *= 4

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return self.join(self.boxes(y).sigmoid() * self.pixels, self.scores(y).sigmoid())


def _images() -> Tensor:
    return 2 * torch.randn(32, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def _tflite(network: nn.Module, folder: Path) -> QuantizedTflite:
    images = _images()
    source = convert(export(network.eval(), (images[:1],), folder / "m.onnx").path, folder / "m.tflite")
    return quantize(source, folder / "int8.tflite", TensorSplit(images, torch.zeros(32, dtype=torch.long)))


def _check(network: nn.Module, got: np.ndarray, axis: int, *, error: float) -> None:
    with torch.no_grad():
        expected = network(_images()).numpy()
    scores = np.moveaxis(got, axis, -1)[..., 4:]
    assert len(np.unique(scores)) > 100
    (result,) = parity.compare(expected, got, classes=False).outputs
    assert result.channel_error < error


@pytest.mark.parametrize("name", _JOINS)
def test_scores_joined_with_boxes_are_accurate_in_tflite(name: str, tmp_path: Path) -> None:
    axis, join = _JOINS[name]
    network = Detector(join)
    result = _tflite(network, tmp_path)
    assert {node.op for node in result.float_nodes} <= {"CONCATENATION", "RESHAPE", "TRANSPOSE", "STRIDED_SLICE"}
    assert result.operators["CONV_2D"] == 4
    images = _images().numpy()
    for predict in (litert.predictor(result.path), Interpreter(result.path).predict):
        _check(network, predict(images)[0], axis, error=0.05)
    compared = host_comparison.compare(result.path, images[:8], classes=False)
    assert compared.worst_steps <= 1


@pytest.mark.parametrize("name", _JOINS)
def test_scores_joined_with_boxes_are_accurate_in_onnx(name: str, tmp_path: Path) -> None:
    axis, join = _JOINS[name]
    network = Detector(join)
    images = _images()
    source = export(network.eval(), (images[:1],), tmp_path / "m.onnx").path
    split = TensorSplit(images, torch.zeros(32, dtype=torch.long))
    result = quantize_onnx(source, tmp_path / "int8.onnx", split, method="minmax")
    assert len([name for name in result.quantized_nodes if "Conv" in name or "conv" in name]) == 4
    _check(network, onnxruntime.predict(result.path, images.numpy())[0], axis, error=0.3)


def test_parts_of_like_range_are_joined_as_integers(tmp_path: Path) -> None:
    result = _tflite(Detector(_JOINS["maps"][1], pixels=1), tmp_path)
    assert [port.dtype for port in result.outputs] == ["int8"]
    assert not result.float_nodes


def test_the_difference_of_float_outputs_is_counted_in_steps_of_their_parts(tmp_path: Path) -> None:
    from edgeprune.backends.tflm.host_comparison import step_sizes

    result = _tflite(Detector(_JOINS["maps"][1]), tmp_path)
    (sizes,) = step_sizes(result.path)
    assert sizes.shape == (1, 8, 8, 7)
    assert np.unique(sizes[..., 4:]).tolist() == [1 / 256]
    (boxes,) = np.unique(sizes[..., :4])
    assert 0.5 < boxes < 1.3


def test_one_scale_over_both_is_noticed() -> None:
    rng = np.random.default_rng(0)
    reference = np.concatenate([320 * rng.random((8, 64, 4)), rng.random((8, 64, 3))], 2)
    step = 320 / 255
    rounded = np.rint(reference / step) * step
    for expected, got, dimension in (
        (reference, rounded, 2),
        (reference.transpose(0, 2, 1), rounded.transpose(0, 2, 1), 1),
    ):
        result = parity.compare(expected, got, classes=False)
        (output,) = result.outputs
        assert result.relative_error < 0.01
        assert output.channel_error > 0.5
        assert output.channel >= 4
        assert output.dimension == dimension
        assert output.missed(max_error=0.01, channel_error=0.5)


def test_only_outputs_of_joined_unlike_ranges_stay_float() -> None:
    steps = [
        OutputOperator(["a", "b"], ["ab"], moves=True, joins=True),  # unlike, but computed with
        OutputOperator(["ab", "w"], ["c"], moves=False, joins=False),
        OutputOperator(["c"], ["r"], moves=True, joins=False),
        OutputOperator(["r", "a"], ["ra"], moves=True, joins=True),  # like
        OutputOperator(["ra", "b"], ["rab"], moves=True, joins=True),  # unlike
        OutputOperator(["rab"], ["y"], moves=True, joins=False),
    ]
    sizes = {"a": 1.0, "b": 100.0, "ab": 100.0, "c": 1.0, "r": 1.0, "ra": 2.0, "rab": 100.0, "y": 100.0}
    assert float_steps(steps, {"y"}, sizes) == {4, 5}
    assert float_steps(steps, {"y"}, {**sizes, "b": 3.0}) == set()
