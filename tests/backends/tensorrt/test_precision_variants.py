"""The files a board is given: they compute the network, hold the types they are named after, and say nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from edgeprune.backends.onnxruntime import onnxruntime_session as onnxruntime
from edgeprune.backends.tensorrt import precision_variants
from edgeprune.export import onnx_export as exporting
from edgeprune.model.data import TensorSplit
from edgeprune.quantize.activation_ranges import METHODS
from edgeprune.quantize.calibration_samples import CalibrationSamples
from tests.backends.tensorrt.residual import IMAGE, network


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("forms") / "model.onnx"
    exporting.export(network(), (torch.zeros(IMAGE),), path)
    return path


@pytest.fixture(scope="module")
def samples() -> CalibrationSamples:
    images = torch.randn(64, *IMAGE[1:], generator=torch.Generator().manual_seed(0))
    return CalibrationSamples(TensorSplit(images, torch.zeros(64, dtype=torch.int64)), 64)


def _outputs(path: Path) -> np.ndarray:
    images = torch.randn(32, *IMAGE[1:], generator=torch.Generator().manual_seed(1))
    return np.asarray(onnxruntime.predict(path, images.numpy())[0])


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _weights(path: Path) -> set[int]:
    return {tensor.data_type for tensor in onnx.load(path).graph.initializer if len(tensor.dims) == 4}


def test_float16(source: Path, samples: CalibrationSamples, tmp_path: Path) -> None:
    path = precision_variants.write_fp16(source, tmp_path, samples)
    np.testing.assert_allclose(_outputs(path), _outputs(source), atol=1e-2)
    assert _weights(path) == {TensorProto.FLOAT16}
    assert path.stat().st_size < 0.7 * source.stat().st_size


@pytest.mark.long
@pytest.mark.parametrize(
    ("versions", "kind"), [(">=10,<12", TensorProto.INT8), (">=8.4,<9", TensorProto.FLOAT)], ids=["10", "8"]
)
def test_int8(
    source: Path,
    samples: CalibrationSamples,
    tmp_path: Path,
    versions: str,
    kind: int,
    capfd: pytest.CaptureFixture[str],
) -> None:
    whole, mixed = precision_variants.write_int8(source, tmp_path, samples, versions=versions)
    assert capfd.readouterr() == ("", "")
    assert _weights(whole) == {kind}
    expected = _outputs(source)
    for path in (whole, mixed):
        assert np.abs(_outputs(path) - expected).max() < 0.1 * np.abs(expected).max()
        assert np.abs(_outputs(path) - expected).max() > 0
    again = precision_variants.write_int8(source, _made(tmp_path / "again"), samples, versions=versions)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in (whole, mixed)]


@pytest.mark.long
def test_each_calibration_method_has_its_own_ranges(source: Path, samples: CalibrationSamples, tmp_path: Path) -> None:
    folders = {method: _made(tmp_path / method) for method in METHODS}
    files = {
        method: precision_variants.write_int8(source, folder, samples, method=method)[0]
        for method, folder in folders.items()
    }
    assert len({path.read_bytes() for path in files.values()}) == len(METHODS)


def test_equalization_saves_channels_that_are_small_beside_one(samples: CalibrationSamples, tmp_path: Path) -> None:
    module = network()
    block = module[2]
    with torch.no_grad():
        for norm in (block.first[1], block.second[1]):
            norm.bias.normal_(std=0.1)  # equal constants are stored once, and what is shared stays
        # The same function, with one channel that takes all the levels.
        block.first[1].weight[0] *= 300
        block.first[1].bias[0] *= 300
        block.second[0].weight[:, 0] /= 300
    source = exporting.export(module, (torch.zeros(IMAGE),), tmp_path / "model.onnx").path
    expected, errors = _outputs(source), []
    for equalization in (False, True):
        folder = _made(tmp_path / str(equalization))
        path, _ = precision_variants.write_int8(source, folder, samples, method="minmax", equalization=equalization)
        errors.append(np.abs(_outputs(path) - expected).mean())
    assert errors[1] < errors[0] / 3


@pytest.mark.parametrize(
    ("channels", "groups", "versions", "quantized"),
    [
        (8, 8, ">=8.4,<12", False),
        (8, 4, ">=10,<12", False),
        (8, 2, ">=8.4,<12", True),  # four channels in each group
        (8, 8, ">=10.9,<12", True),
        (8, 1, ">=8.4,<9", True),
    ],
)
def test_grouped_deconvolution_with_few_channels_stays_float_before_10_9(
    channels: int, groups: int, versions: str, quantized: bool, samples: CalibrationSamples, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(IMAGE[1], channels, 3),
        torch.nn.ConvTranspose2d(channels, channels, 2, stride=2, groups=groups),
        torch.nn.Conv2d(channels, 4, 3),
    ).eval()
    source = tmp_path / "source.onnx"
    exporting.export(model, (torch.zeros(IMAGE),), source)
    whole, mixed = precision_variants.write_int8(source, _made(tmp_path / "int8"), samples, versions=versions)
    assert _reads_int8(whole, "ConvTranspose") == quantized
    assert _reads_int8(mixed, "ConvTranspose")
    assert _reads_int8(whole, "Conv")
    expected = _outputs(source)
    assert np.abs(_outputs(whole) - expected).max() < 0.1 * np.abs(expected).max()


def _reads_int8(path: Path, operator: str) -> bool:
    """Return whether the first node of the type ``operator`` reads dequantized values."""
    graph = onnx.load(path).graph
    dequantized = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    node = next(node for node in graph.node if node.op_type == operator)
    return node.input[0] in dequantized
